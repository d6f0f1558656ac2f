"""Numbers from outside."""

from __future__ import annotations

from typing import Any

import pytest

from story_studio.story.clip_graph import TRIM
from story_studio.story.effort import sound_behind
from story_studio.story.numbers import finite, loads


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "1", None, [1]])
def test_what_is_no_number(value: Any) -> None:
    assert finite(value) is None
    nodes = {"1": {"class_type": TRIM, "inputs": {"duration": value}}}
    assert sound_behind(nodes, "1", lambda node: 4.0) == 4.0


def test_numbers_are_read_as_they_are_and_what_is_none_is_refused() -> None:
    assert finite(3) == 3.0 and finite(-0.5) == -0.5
    assert loads(f'[1, -2.5e3, {2**64}, "NaN"]') == [1, -2500.0, 2**64, "NaN"]
    for text in ("NaN", "-Infinity", "1e999", "1" * 41, "[", ""):
        with pytest.raises(ValueError):
            loads(text)
