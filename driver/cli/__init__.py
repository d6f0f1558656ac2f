"""The commands of `story-studio`."""

from .commands import main

__all__ = ["main"]
