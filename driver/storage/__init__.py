"""Where finished files go: a folder or a bucket."""
