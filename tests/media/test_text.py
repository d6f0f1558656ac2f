"""What of a text is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from story_studio.media.text import clean, closed, is_right_to_left, is_visible

INVISIBLE = [
    "",
    " \n\t",
    "\u200b",
    "\u200d\ufeff\u2060",
    "\x00\x07",
    "\ud800",
    "\u202e\u00ad",
    "\ufffe\ufdd0",
    "\u3164",
]
_OPENERS, _CLOSERS = "\u202a\u202b\u2066\u2067\u2068", "\u202c\u2069"


@pytest.mark.parametrize("text", INVISIBLE)
def test_what_nobody_sees_is_not_visible(text: str) -> None:
    assert not is_visible(text)


@pytest.mark.parametrize("text", ["a", "\u200b.", "海", "👩\u200d🚀", "\ud83d\ude00", "\ue000"])
def test_what_has_a_shape_is_visible(text: str) -> None:
    assert is_visible(text)


def test_what_spoils_a_text_is_taken_out() -> None:
    assert clean("a\x00b\x07\ufeff\ud800c\ufffe\u202ed") == "abcd"
    assert clean("a\tb\nc\rd\x85e\u2028f\u2029g") == "a b c d e f g"
    assert (
        clean("\ud83d\ude00 می\u200cخواهم 👩\u200d🚀 क\u094d\u200dष")
        == "😀 می\u200cخواهم 👩\u200d🚀 क\u094d\u200dष"
    )


@given(st.text(st.characters(codec=None)))
def test_a_clean_text_can_be_written_anywhere(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert cleaned.encode().decode() == cleaned
    assert not {unicodedata.category(letter) for letter in cleaned} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("שלום", True),
        ("المنارة", True),
        ("«123» שלום abc", True),
        ("abc שלום", False),
        ("123", False),
        ("", False),
    ],
)
def test_the_first_letter_gives_the_direction(text: str, expected: bool) -> None:
    assert is_right_to_left(text) is expected


def test_directions_are_closed_on_each_line_and_go_on_in_the_next() -> None:
    assert closed(["a \u2067b", "c\u2069 d"]) == ["a \u2067b\u2069", "\u2067c\u2069 d"]
    assert closed(["a\u2069\u202c", "b"]) == ["a", "b"]


@given(st.lists(st.text(st.sampled_from("ab" + _OPENERS + _CLOSERS)), max_size=4))
def test_every_line_is_balanced(lines: list[str]) -> None:
    letters = str.maketrans("", "", _OPENERS + _CLOSERS)
    result = closed(lines)
    assert [line.translate(letters) for line in result] == [line.translate(letters) for line in lines]
    for line in result:
        depths, opened = [], 0
        for letter in line:
            opened += (letter in _OPENERS) - (letter in _CLOSERS)
            depths.append(opened)
        assert min(depths, default=0) >= 0 and opened == 0
