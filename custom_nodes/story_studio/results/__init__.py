"""What is kept of a story on disk: results by their keys, what they were made from, and where they belong."""
