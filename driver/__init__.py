"""What runs outside ComfyUI: a story is validated, built into one graph, submitted, watched and stored."""
