"""Checks of clips: what is measured, what it is compared with, and what was found. No torch, no ComfyUI."""
