"""What a film says about itself in its file: its cut, captions and sound, for programs that read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .canvas import Canvas
from .captions import Cue
from .cut import Part

_MOST_BYTES = 2_000_000


def film_report(
    canvas: Canvas,
    codec: str,
    parts: Sequence[Part],
    shots: Sequence[Mapping[str, Any]],
    captions: Mapping[str, Sequence[Cue]],
    sound: Mapping[str, Any] | None,
) -> str:
    """The report as JSON, at most about 2 MB: of a very long film, first the words' times are left out,
    then the captions.

    Args:
        canvas: size and frame rate.
        codec: of the video.
        parts: the cut.
        shots: kind, title and such of each part.
        captions: by language.
        sound: what was measured of the sound.
    """
    report: dict[str, Any] = {
        "version": 1,
        "width": canvas.width,
        "height": canvas.height,
        "fps": str(canvas.fps),
        "frames": parts[-1].end,
        "codec": codec,
        "shots": [dict(shot) | _place(part) for shot, part in zip(shots, parts, strict=True)],
        "sound": sound,
    }
    timed = {language: [_cue(cue) for cue in cues] for language, cues in captions.items()}
    without_words = {language: [cue[:3] for cue in cues] for language, cues in timed.items()}
    for shown in (timed, without_words):
        text = json.dumps(report | {"captions": shown}, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode(errors="replace")) <= _MOST_BYTES:
            return text
    return json.dumps(report | {"captions": {}}, ensure_ascii=False, separators=(",", ":"))


def _cue(cue: Cue) -> list[Any]:
    """Start and end in seconds, the text, and its words likewise."""
    words = [[round(word.start, 3), round(word.end, 3), word.text] for word in cue.words]
    return [round(cue.start, 3), round(cue.end, 3), cue.text, words]


def _place(part: Part) -> dict[str, Any]:
    return {
        "start": part.start,
        "frames": part.frames,
        "clip_frames": part.clip_frames,
        "transition": part.transition,
        "transition_frames": part.transition_frames,
        "transition_before": part.before,
    }
