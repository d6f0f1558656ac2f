"""Stories in, finished files and a manifest out."""
