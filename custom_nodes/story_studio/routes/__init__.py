"""The HTTP routes of the storyboard panel."""
