"""Numbers from outside: JSON and graphs hold anything, also what is none, or none that a browser reads."""

from __future__ import annotations

import json
import math
from typing import Any

_MOST_DIGITS = 40
"""Of a whole number: seeds have 20, and a float holds 300."""


def finite(value: Any) -> float | None:
    """A number; None for anything else, and for one that is too large or is not a number."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def loads(text: str | bytes) -> Any:
    """Reads JSON.

    Raises:
        ValueError: it is none, or it holds NaN, an infinite number or one with too many digits, which Python
            would read and write, and browsers would not.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse, parse_float=_float, parse_int=_int)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return number


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        _refuse(f"{text[:_MOST_DIGITS]}…")
    return int(text)
