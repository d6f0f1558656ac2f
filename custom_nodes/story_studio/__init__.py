"""Story Studio: nodes that turn images and voices into talking videos, and scenes into a film."""

from __future__ import annotations

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

WEB_DIRECTORY = "./web"
"""Served to ComfyUI's interface: the JavaScript files, and the help pages in `docs`."""


async def comfy_entrypoint():
    """The entry point that ComfyUI's V3 loader calls; returns the extension."""
    # Imported here because the driver imports the pack without ComfyUI. The nodes come second, so that the
    # log says what is missing in this ComfyUI even if their import fails.
    from .core import fit

    fit.log_misfit()
    from .nodes import StoryStudio

    return StoryStudio()
