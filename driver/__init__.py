"""What runs outside ComfyUI: a story is validated, built into one graph, submitted, watched and stored."""

import logging

# Below this level urllib3 logs the addresses of requests, whose query may hold a key or a signature. Its
# modules have levels of their own, because importing runpod sets the package's to WARNING.
_MODULES = ("connection", "connectionpool", "poolmanager", "response", "util.retry")
for _name in ("urllib3", *(f"urllib3.{module}" for module in _MODULES)):
    logging.getLogger(_name).setLevel(logging.ERROR)
