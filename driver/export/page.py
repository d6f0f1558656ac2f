"""The page of a delivery: one file that plays the film, from a disk or a server, and asks no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..rendering.cut import Cut
from ..rendering.subtitles import subtitles_name

FILM = Path("film.mp4")
POSTER, STORYBOARD = "poster.jpg", "storyboard.jpg"
_TEMPLATE = "page.html"
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Scene(NamedTuple):
    """A shot on the page: its number (0: a card), title, what is said, start and seconds, and its image."""

    number: int
    title: str
    text: str
    start: float
    seconds: float
    image: str


class Track(NamedTuple):
    """Captions: their language, empty if unknown, and an address that holds them, as no page on a disk may
    read another file."""

    language: str
    address: str


class Download(NamedTuple):
    """A file that the page offers: its name, what it is, and its size in words."""

    file: str
    label: str
    size: str


def render_page(
    title: str,
    language: str,
    cut: Cut,
    scenes: Sequence[Scene],
    captions: Mapping[str, str],
    folder: Path,
) -> str:
    """The page's HTML. Every text of the story is escaped, and only the page's own script may run.

    Args:
        title: of the film.
        language: of its texts, as in BCP 47; empty if it is not known.
        cut: its size and rate.
        scenes: in order.
        captions: WebVTT by language.
        folder: where the page will be, with the files that it names.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE)
    source = (Path(__file__).parent / _TEMPLATE).read_text(encoding="utf-8")
    script = _SCRIPT.search(source)
    assert script
    digest = hashlib.sha256(script[1].encode()).digest()
    return template.render(
        title=title,
        language=language,
        width=cut.width,
        height=cut.height,
        facts=_facts(cut, scenes),
        scenes=scenes,
        clock=clock,
        tracks=[
            Track(language, "data:text/vtt;base64," + base64.b64encode(text.encode()).decode())
            for language, text in captions.items()
        ],
        downloads=list(_downloads(captions, folder)),
        script_hash="sha256-" + base64.b64encode(digest).decode(),
    )


def clock(seconds: float) -> str:
    """Seconds as a player shows them: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _facts(cut: Cut, scenes: Sequence[Scene]) -> list[str]:
    count = sum(bool(scene.number) for scene in scenes)
    return [
        clock(float(cut.frames / cut.rate)),
        f"{count} scene{'s' * (count != 1)}",
        f"{cut.width} \u00d7 {cut.height}",
        f"{float(cut.rate):g} fps",
    ]


def _downloads(captions: Mapping[str, str], folder: Path) -> list[Download]:
    offered = [(FILM.name, "Film")]
    for language in captions:
        for kind in ("srt", "vtt"):
            label = " ".join(filter(None, ("Captions", language)))
            offered.append((subtitles_name(FILM.stem, language, kind), f"{label}, {kind.upper()}"))
    offered += [(STORYBOARD, "Storyboard"), (POSTER, "Poster")]
    return [Download(name, label, _size((folder / name).stat().st_size)) for name, label in offered]


def _size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{max(1, round(count / 1e3))} kB"
