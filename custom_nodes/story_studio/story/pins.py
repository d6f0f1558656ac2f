"""Pins: the choice of a take in a Still or Clip, and what it holds for."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .results import KEY

TAKE = f"{KEY}(@{KEY})?"
"""What chooses a take, as a regular expression: its key, or `KEY@OWN`."""


class Pin(NamedTuple):
    """A chosen take.

    Attributes:
        key: of the take.
        own: the key of what the node was linked to when the take was chosen. Once that changes, the pin lets
            go, so that a changed prompt is never overruled in silence. Empty: it always holds.
    """

    key: str
    own: str = ""


def read_pin(take: Any) -> Pin | None:
    """The pin that a `take` input holds; None if it is empty."""
    if not take:
        return None
    text = str(take).strip()
    key, _, own = text.partition("@") if re.fullmatch(TAKE, text) else (text, "", "")
    return Pin(key, own)


def always_holds(take: Any) -> bool:
    """Whether a take is chosen whatever changes, so that what its node is linked to is never made."""
    pin = read_pin(take)
    return pin is not None and not pin.own
