"""What a film's file says about the film: its length, chapters and captions, and the graph that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from ..files import read_once
from ..signal.tags import UNREADABLE
from ..story.results import REPORT_TAG


class FilmFacts(NamedTuple):
    """What is known of a film from its file; empty where the file does not say it.

    Attributes:
        chapters: start and end in seconds, and title of each.
        captions: by language, each a start and end in seconds, and a text.
        workflow: the id of the workflow on the canvas that it was queued from.
    """

    seconds: float = 0.0
    width: int = 0
    height: int = 0
    fps: str = ""
    codec: str = ""
    chapters: tuple[tuple[float, float, str], ...] = ()
    captions: Mapping[str, Sequence[Sequence[Any]]] = {}
    workflow: str = ""


def read_facts(path: Path) -> FilmFacts:
    """What a film's file says; nothing for a file that cannot be read."""
    try:
        return _read(path)
    except UNREADABLE:
        return FilmFacts()


@read_once(64)
def _read(path: Path) -> FilmFacts:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        seconds = container.duration / av.time_base if container.duration else 0.0
        rate, tags = video.average_rate, dict(container.metadata)
        width, height, codec = video.width, video.height, video.codec_context.name
    report = _json_of(tags.get(REPORT_TAG))
    captions = report.get("captions")
    workflow = _json_of(tags.get("workflow")).get("id")
    return FilmFacts(
        seconds,
        width,
        height,
        str(rate or ""),
        codec,
        tuple(_chapters(report)),
        captions if isinstance(captions, dict) else {},
        workflow if isinstance(workflow, str) else "",
    )


def _json_of(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _chapters(report: Mapping[str, Any]) -> list[tuple[float, float, str]]:
    """The scenes and cards of the film's cut, whether or not players show them as chapters."""
    try:
        rate = Fraction(report["fps"])
        begun = [(shot["start"], shot["title"]) for shot in report["shots"] if shot.get("chapter", True)]
        ends = [*(start for start, _ in begun[1:]), report["frames"]]
        pairs = zip(begun, ends, strict=True)
        return [(float(start / rate), float(end / rate), str(title)) for (start, title), end in pairs]
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError):
        return []
