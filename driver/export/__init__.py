"""A rendered story for elsewhere: editors' timelines with their media, and a folder for a client."""
