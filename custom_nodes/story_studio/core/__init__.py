"""All that the pack uses of ComfyUI beyond its public node API: one small module for each internal.

`contracts.py` lists them with what each relies on and the cores that it was run on.
"""
