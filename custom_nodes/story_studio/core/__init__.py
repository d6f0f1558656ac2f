"""Everything the pack uses of ComfyUI beyond its public node API, one small module for each internal.

`contracts.py` lists what each module relies on, and the ComfyUI versions that it was tested on.
"""
