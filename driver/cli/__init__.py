"""The commands of `story-studio`."""
