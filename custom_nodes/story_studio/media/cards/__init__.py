"""Images that are drawn: title cards and contact sheets."""
