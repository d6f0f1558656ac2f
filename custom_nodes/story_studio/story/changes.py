"""What changed between two versions of a setting, in words."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

_SHOWN = 40
"""Characters of a value that are shown where it changed."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings differ, with their values; those that begin alike from where they differ."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(
        f"{name} ({' -> '.join(before_and_after(old.get(name), new.get(name)))})" for name in names
    )


def before_and_after(old: Any, new: Any) -> tuple[str, str]:
    """Two values that differ as texts, shortened so that the difference is seen."""
    before, after = _text(old), _text(new)
    start = len(os.path.commonprefix([before, after])) - _SHOWN // 4
    if shown(before) == shown(after):
        before, after = f"...{before[start:]}", f"...{after[start:]}"
    return shown(before), shown(after)


def shown(value: Any) -> str:
    """A setting as text, shortened."""
    text = _text(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
