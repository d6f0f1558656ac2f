"""Downloads: inputs from addresses that strangers may have written, and model files."""
