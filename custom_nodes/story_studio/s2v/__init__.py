"""The Wan2.2 S2V sampling algorithm, independent of any node."""
