"""The talking-video algorithm of Wan2.2 S2V, free of node code."""
