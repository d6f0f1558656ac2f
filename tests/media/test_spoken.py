"""The words of a text, and how long they take to say."""

from __future__ import annotations

import pytest

from story_studio.media.spoken import pause_after, seconds, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well-known facts — aren't they?", ["Well-", "known", "facts", "—", "aren't", "they?"]),
        ("从前，在海边", ["从", "前，", "在", "海", "边"]),
        ("바닷가의 등대", ["바닷가의", "등대"]),
        ("ประภาคารเก่าริมทะเล", ["ประภาค", "ารเก่าริ", "มทะเล"]),
        ("Donau\u00addampf\nschiff\u200b", ["Donau", "dampf", "schiff"]),
        (" \u200b ", []),
    ],
)
def test_words_end_where_lines_can_break(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ("a", "extraordinary"),
        ("time", "timing"),
        ("strength", "opera"),
        ("the", "12"),
        ("sed", "BBC"),
        ("word", "word."),
        ("海", "海边"),
        ("はし", "はしら"),
    ],
)
def test_what_takes_longer_to_say(shorter: str, longer: str) -> None:
    assert 0 < seconds(shorter) < seconds(longer)


@pytest.mark.parametrize("word", ["—", "…", "“", "👩\u200d🚀", "-"])
def test_punctuation_takes_no_time(word: str) -> None:
    assert seconds(word) == 0


def test_a_korean_syllable_and_accents_count_once() -> None:
    assert seconds("등대") == 2 * seconds("등")
    assert seconds("naïve") == seconds("naïve") == seconds("naive")


@pytest.mark.parametrize(
    ("word", "pause"), [("end.”", "sentence"), ("吗？", "sentence"), ("one,", "clause"), ("and", "none")]
)
def test_pauses_follow_from_punctuation(word: str, pause: str) -> None:
    assert pause_after(word) == pause
