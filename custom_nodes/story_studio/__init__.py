"""Story Studio: nodes that turn pictures and voices into talking videos, and scenes into a film.

Importing the pack costs nothing: the nodes, and what they need, are imported when ComfyUI asks for them.
"""

from __future__ import annotations

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

WEB_DIRECTORY = "./web"
"""What ComfyUI's interface fetches: help pages in `docs`, and every JavaScript file."""


async def comfy_entrypoint():
    """The pack's extension, as ComfyUI's V3 loader expects it."""
    from .core import fit

    fit.log_misfit()
    from .nodes import StoryStudio

    return StoryStudio()
