"""Captions as files that players and editors read."""

from __future__ import annotations

from collections.abc import Sequence

import pysubs2

from ..rendering.cut import Cue


def write_captions(cues: Sequence[Cue], kind: str) -> str:
    """Captions as `srt` or `vtt`, without styles."""
    file = pysubs2.SSAFile()
    for cue in cues:
        line = pysubs2.SSAEvent(start=round(cue.start * 1000), end=round(cue.end * 1000))
        line.plaintext = cue.text
        file.append(line)
    return file.to_string(kind)
