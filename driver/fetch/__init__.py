"""Files from addresses: inputs that strangers name, and model files."""
