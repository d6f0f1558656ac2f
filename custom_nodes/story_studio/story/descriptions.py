"""A prompt for people to read: with names where it describes characters for an encoder.

Who is described is a text of lines, `Mara: an old keeper in a yellow coat`. Of a line without a name, the
description is left out: it says who speaks, and the author has not written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .characters import Characters, mentioned_in, name_of


def descriptions_of(prompt: str, speaker: str, characters: Characters) -> str:
    """The lines for a scene's prompt, which names its characters in braces.

    Args:
        prompt: as the author has written it.
        speaker: the key of the character who speaks in the scene; empty for nobody.
        characters: those of the story.
    """
    keys = mentioned_in(prompt, characters)
    names = {key: name_of(key, characters) for key in keys}
    if speaker and speaker not in names:
        names = {speaker: "", **names}
    described = {key: " ".join(characters[key].description.rstrip(". ,").split()) for key in names}
    return "\n".join(f"{name}: {described[key]}" for key, name in names.items() if described[key])


def without_descriptions(text: str, lines: str) -> str:
    """A prompt with the names of characters in place of their descriptions."""
    # A description may begin with another.
    for name, description in sorted(_pairs(lines), key=lambda pair: -len(pair[1])):
        words = r"\s+".join(map(re.escape, description.split()))
        # It stands at the end where something of hers is all that the prompt names.
        end = rf", {re.escape(name)} is {words}(?!\w)"
        anywhere, start = rf"(?<!\w){words}(?!\w)", rf"^{words}(, |$)"
        for pattern, shown in ((end, ""), (anywhere, name)) if name else ((start, ""),):
            text = re.sub(pattern, lambda _, shown=shown: shown, text, count=1, flags=re.IGNORECASE)
    return text


def _pairs(lines: str) -> Iterator[tuple[str, str]]:
    for line in lines.splitlines():
        name, colon, description = line.partition(":")
        if colon and description.strip():
            yield name.strip(), description.strip()
