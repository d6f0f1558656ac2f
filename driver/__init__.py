"""What runs outside ComfyUI: a story is validated, built into one graph, submitted, watched and stored."""

import logging

# Below this level urllib3 logs the addresses of requests, whose query may hold a key or a signature.
logging.getLogger("urllib3").setLevel(logging.ERROR)
