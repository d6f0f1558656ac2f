"""Reading, writing and drawing media; knows nothing of ComfyUI."""
