"""What runs outside ComfyUI: a story is validated, built into one graph, submitted, watched and stored."""

import logging

# Below this level urllib3 logs the addresses of requests, whose query may hold a key or a signature. Its
# modules have levels of their own, because importing runpod sets the package's to WARNING.
for _name in ("urllib3", "urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).setLevel(logging.ERROR)
