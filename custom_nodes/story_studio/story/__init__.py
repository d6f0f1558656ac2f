"""Stories as data: what their files may hold, the templates, and the one graph that renders them.

Nothing here needs ComfyUI: the driver imports it too.
"""
