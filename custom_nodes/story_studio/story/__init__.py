"""The core that the node pack and the driver share: story files, recipes, the graph of a story, and keys.

Pure functions over plain data, without ComfyUI or torch.
"""
