"""Why ComfyUI refuses a node, in a sentence that says what to do. `web/shared/refusals.mjs` has the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_MISSING_FILE = re.compile(r"Invalid \w+ file: (.+)$", re.DOTALL)
"""What the stock loaders of images, audio and video say of a name; the same in Chinese interfaces."""


def reason_of(errors: Iterable[dict[str, Any]]) -> str:
    """The reason for the errors of a node.

    Args:
        errors: as ComfyUI's `validate_prompt` returns them: `type`, `message`, `details`, `extra_info`.
    """
    return " ".join(_sentence(error) for error in errors)


def _sentence(error: dict[str, Any]) -> str:
    kind, details = error.get("type"), str(error.get("details") or "")
    about = error.get("extra_info") or {}
    name, value = about.get("input_name"), about.get("received_value")
    if file := _MISSING_FILE.search(details):
        return f"{file[1]} is not in the input folder: choose another file."
    if kind == "required_input_missing":
        return f"{name} is missing: set it, or link something to it."
    if kind == "value_not_in_list":
        return f"{value} is not among the choices of {name}: choose another, or add the file and reload."
    return ": ".join(filter(None, (str(error.get("message") or ""), details)))
