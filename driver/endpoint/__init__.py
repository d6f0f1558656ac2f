"""The local endpoint: RunPod's API on this machine, with the shipped worker behind it."""
