"""Where lines can be broken."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniseg.linebreak import line_break_units

from story_studio.media.linebreak import clusters, parts, shortened, shown_line


@pytest.mark.parametrize(
    "text",
    [
        "The |storm’s |fury |wasn’t |over.",
        "He |said: |“No!” |and |(perhaps) |left.",
        "«\u00a0Oui\u202f!\u00a0» |dit\u00a0: |12\u00a0% |de |l’été",
        "a-|b |1,000.5 |– |x",
        "你|好，|世|界。|「他|说」",
        "ラ|ン|プ|を|持っ|て",
        "등대지기의 |램프를 |든",
        "שלום |עולם",
        "soft\u00ad|hyphen |zero\u200b|width |word\u2060joiner |no\u00a0break\u202fhere",
        "👩\u200d🚀|👍🏽 |e\u0301e\u0301",
        "ภาษาไทย |ไทย",
    ],
)
def test_lines_break_by_the_rules_of_unicode(text: str) -> None:
    assert parts(text.replace("|", "")) == text.split("|")


_TRICKY = "aé ,.!?—“”’海。，(){}[]«»1-/\u00a0\u200b\u3000א\u0301ก\u0e33ー\n"


@given(st.lists(st.sampled_from([*_TRICKY, " a ", " b", "c "]), max_size=60).map("".join))
def test_short_pieces_break_as_the_whole_text_does(text: str) -> None:
    spaced = re.sub(r"[^\S\u00a0]+", " ", text).strip(" ")
    assert parts(text) == list(line_break_units(spaced))


def test_a_letter_keeps_its_marks() -> None:
    assert clusters("e\u0301👩\u200d🚀क्षि🇩🇪🇫🇷") == ("e\u0301", "👩\u200d🚀", "क्षि", "🇩🇪", "🇫🇷")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("soft\u00ad", "soft-"),
        ("so\u00adft\u00ad ", "soft-"),
        ("\u200b a\u200bb \u200b", "ab"),
        ("so\u00adft", "soft"),
    ],
)
def test_a_soft_hyphen_is_shown_at_the_end_of_a_line_only(line: str, shown: str) -> None:
    assert shown_line(line) == shown


@given(st.text(max_size=60), st.integers(3, 60))
def test_a_shortened_text_fits_and_says_so(text: str, size: int) -> None:
    short = shortened(text, size)
    assert len(short.encode()) <= size
    assert short == text if len(text.encode()) <= size else text.startswith(short.removesuffix("…"))
    assert short == text or short.endswith("…")
