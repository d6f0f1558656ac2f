"""Reading, writing and drawing media, independent of ComfyUI."""
