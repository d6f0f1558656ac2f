"""What of a text is spoken."""

from __future__ import annotations

import pytest

from driver.voices.text import cleaned, foreign_words, pieces


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("“Who’s there?” she said—“it’s late…”", '"Who\'s there?" she said — "it\'s late…"'),
        ("Great 😀 work 👩‍🚀🎉!", "Great work!"),
        (
            "# The light\n\n**Bold** and _italic_.\n- one\n- two",
            "The light\n\nBold and italic.\n\none\n\ntwo",
        ),
        ("It costs 5 € at 20 °C, 1914–1918.", "It costs 5 € at 20 °C, 1914-1918."),
        ("[pause 1s] Say [[h@l]] (/x/).", "(pause 1s) Say ((h@l)) (/x/)."),
        ("a line\nthat is wrapped", "a line that is wrapped"),
        ("😀 — !", ""),
    ],
)
def test_marks_emoji_and_markup_are_not_spoken(text: str, spoken: str) -> None:
    assert cleaned(text) == spoken


def test_a_text_without_punctuation_is_spoken_in_parts() -> None:
    words = " ".join(f"word{number}" for number in range(200))
    ((*parts,), second) = pieces(f"{words}\n\n{'x' * 1000}")
    assert " ".join(parts) == words and max(map(len, parts)) <= 400
    assert "".join(second) == "x" * 1000 and max(map(len, second)) <= 400
    assert len(next(pieces("One. " * 300))) == 1


def test_words_in_letters_that_a_language_does_not_have_are_found() -> None:
    assert foreign_words("Zoë said спасибо and 你好, café ½ µ 5 °C.", "en-US") == ["спасибо", "你好,"]
    assert foreign_words("спасибо", "ru") == []
