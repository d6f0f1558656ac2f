"""What is measured of audio and colours, below films and checks. No torch, no ComfyUI, no models."""
