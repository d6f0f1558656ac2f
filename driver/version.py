"""The version of Story Studio."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import tomllib

import story_studio


@cache
def version() -> str:
    """The node pack's, which the driver has too; "unknown" if its pyproject.toml is gone."""
    try:
        text = Path(story_studio.__file__).with_name("pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    return tomllib.loads(text)["project"]["version"]
