"""Texts as they are spoken: without marks, emoji and markup, in pieces that a voice can hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import langcodes

_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"') | dict.fromkeys("‘’‚‛", "'") | {"[": "(", "]": ")"})
"""Brackets would be read as markup: both engines take phonemes in them."""
_ITEM = re.compile(r"^[ \t]*(?:#{1,6}|>|[-*+•])[ \t]+", re.MULTILINE)
"""What begins a heading, a quotation or an item of a list in Markdown: a paragraph of its own."""
_EMPHASIS = re.compile(r"[*`~•]+|(?<![^\W_])_+|_+(?![^\W_])")
_LATIN_1_END = 0x100
"""Symbols below are read out, such as those of degrees and copyright; those above are pictures."""
_LONGEST = 400
"""Characters that are spoken at once: the work of both engines grows with the square of it."""
_ENDS = tuple(".!?;:,…—")


def cleaned(text: str) -> str:
    """A text as a voice gets it; paragraphs are separated by an empty line. Empty if nothing can be said."""
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    text = _EMPHASIS.sub("", _ITEM.sub("\n\n", text)).replace("_", " ")
    text = re.sub(r"(?<=\d)–(?=\d)", "-", text)
    text = re.sub(r"\s*(?:[—―]|\s–|--+)\s*", " — ", text)
    text = "".join(_spoken(character) for character in text)
    text = re.sub(r"(?<=\s)\u200d|\u200d(?=\s)", "", text)
    text = re.sub(r"[ \t]+(?=[.,!?;:])", "", text)
    paragraphs = (" ".join(part.split()).strip("— ") for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(part for part in paragraphs if any(map(str.isalnum, part)))


def _spoken(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return character
    # Joiners between emoji, and what has no meaning in a text; in some scripts joiners change the letters.
    if category in ("Cc", "Cs", "Co", "Cn") or category in ("So", "Sk") and ord(character) >= _LATIN_1_END:
        return " "
    return "" if character in "\ufe0e\ufe0f\u200b\ufeff\u00ad" else character


def pieces(text: str) -> Iterator[list[str]]:
    """The paragraphs of a cleaned text, each in parts: where 400 characters have no punctuation, a part ends
    between words."""
    for paragraph in text.split("\n\n"):
        parts, since_pause = [""], 0
        for word in re.sub(rf"(\S{{{_LONGEST}}})(?=\S)", r"\1 ", paragraph).split(" "):
            if since_pause + len(word) >= _LONGEST:
                parts.append("")
                since_pause = 0
            parts[-1] = f"{parts[-1]} {word}".strip()
            since_pause = 0 if word.endswith(_ENDS) else since_pause + len(word) + 1
        yield [part for part in parts if part]


def foreign_words(text: str, language: str) -> list[str]:
    """The words of a cleaned text in letters that a language written in Latin letters does not have."""
    if langcodes.get(language).maximize().script != "Latn":
        return []
    return [word for word in text.split() if any(map(_is_foreign, word))]


def _is_foreign(character: str) -> bool:
    if not character.isalpha():
        return False
    name = unicodedata.name(character, "")
    return not name.startswith(
        ("LATIN", "FEMININE", "MASCULINE", "MODIFIER LETTER", "MICRO", "KELVIN", "ANGSTROM")
    )
