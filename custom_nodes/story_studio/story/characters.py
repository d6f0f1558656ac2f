"""Characters in prompts: `{mara}` stands for what she looks like, in every scene the same."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence

from .part import MAX_SEED
from .problems import nearest
from .settings import Character

_MENTION = re.compile(r"\{\s*([A-Za-z0-9][A-Za-z0-9_.-]{0,63})\s*\}(['’]s\b)?")
"""A name in braces, and whether something of hers follows: `{mara}'s hands`."""

Characters = Mapping[str, Character]


def key_of(name: str, characters: Characters) -> str | None:
    """The key of the character that a name in braces means, in upper or lower case; None if there is none."""
    if name in characters:
        return name
    return next((key for key in characters if key.lower() == name.lower()), None)


def name_of(key: str, characters: Characters) -> str:
    """The name of a character as cards show it; empty for nobody."""
    character = characters.get(key)
    return (character.name or key.replace("_", " ").capitalize()) if character else ""


def mentioned_in(text: str, characters: Characters) -> list[str]:
    """The keys of the characters that a text names in braces, each once, in order."""
    keys = (key_of(match[1], characters) for match in _MENTION.finditer(text))
    return list(dict.fromkeys(key for key in keys if key is not None))


def unknown_in(text: str, characters: Characters) -> Iterator[str]:
    """A sentence for each name in braces that no character has; none in a story without characters.

    Braces that hold no name, such as `{red | blue}`, are left alone.
    """
    names = dict.fromkeys(match[1] for match in _MENTION.finditer(text)) if characters else {}
    for name in names:
        if key_of(name, characters) is None:
            yield f"there is no character {name!r}, {nearest(name, characters)}"


def described(text: str, characters: Characters) -> str:
    """A prompt that describes characters: the first mention becomes the description, later ones the name.

    "{mara}'s hands" becomes "Mara's hands", and if that is all there is of her, the description follows at
    the end. A name with a capital, "{Mara}", begins a sentence.
    """
    introduced: set[str] = set()

    def replaced(match: re.Match[str]) -> str:
        key = key_of(match[1], characters)
        if key is None:
            return match[0]
        description = _description(characters[key])
        if match[2] or key in introduced or not description:
            return name_of(key, characters) + (match[2] or "")
        introduced.add(key)
        return description[0].upper() + description[1:] if match[1][0].isupper() else description

    written = _MENTION.sub(replaced, text)
    rest = [key for key in mentioned_in(text, characters) if key not in introduced]
    added = [
        f"{name_of(key, characters)} is {description}"
        for key in rest
        if (description := _description(characters[key]))
    ]
    return ", ".join([written.rstrip(". ,"), *added]) if added else written


def with_names(text: str, characters: Characters) -> str:
    """A text with names in place of names in braces, as people read it."""

    def replaced(match: re.Match[str]) -> str:
        key = key_of(match[1], characters)
        return match[0] if key is None else name_of(key, characters) + (match[2] or "")

    return _MENTION.sub(replaced, text)


def family_seed(seed: int, keys: Sequence[str]) -> int:
    """The seed of all stills that show the same characters, from the story's seed."""
    return (seed + zlib.crc32(", ".join(sorted(keys)).encode())) & MAX_SEED


def _description(character: Character) -> str:
    return character.description.rstrip(". ,")
