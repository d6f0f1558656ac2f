"""Captions as the text of files that players and editors read: SubRip (.srt) and WebVTT (.vtt)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_JOINER = "\u2060"
"""Has no width; it parts letters that a player or library would take for markup."""
_SRT_MARKUP = re.compile(r"[{\\]|<(?=[A-Za-z/!])|--(?=>)")


def subtitles(cues: Sequence[Sequence[Any]], suffix: str) -> str:
    """The text of a file of captions; empty without any.

    Texts are shown as they are written; only what stands in braces is hidden in .srt files by players that
    take it for markup, as that has no escape.

    Args:
        cues: each starts with start and end in seconds and the text.
        suffix: srt or vtt.
    """
    escape, point = (_for_vtt, ".") if suffix == "vtt" else (_for_srt, ",")
    shown = [(cue[0], cue[1], lines) for cue in cues if (lines := lines_of(cue[2]))]
    blocks = [
        f"{number}\n{_time(start, point)} --> {_time(end, point)}\n" + "\n".join(map(escape, lines))
        for number, (start, end, lines) in enumerate(shown, 1)
    ]
    head = ["WEBVTT"] if suffix == "vtt" and blocks else []
    return "".join(f"{block}\n\n" for block in (*head, *blocks))


def lines_of(text: str) -> list[str]:
    """The lines of a caption; an empty line would end it."""
    return [stripped for line in text.splitlines() if (stripped := line.strip())]


def _time(seconds: float, point: str) -> str:
    rest, thousandths = divmod(max(0, round(seconds * 1000)), 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{thousandths:03}"


def _for_srt(line: str) -> str:
    return _SRT_MARKUP.sub(rf"\g<0>{_JOINER}", line)


def _for_vtt(line: str) -> str:
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return line.replace("\\", f"\\{_JOINER}")
