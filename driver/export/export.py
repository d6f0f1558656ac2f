"""One rendered story to one folder or ZIP."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from story_studio.story.formats import RATES
from story_studio.story.problems import Problem, Problems

from ..rendering.manifest import Manifest
from ..rendering.subtitles import write_subtitles
from . import capcut, delivery, fcpxml, otio
from .folder import folder_aside, write_zip
from .media import Collector, OnStep
from .rendered import Rendered, read_rendered
from .timeline import Timeline

FORMATS = {
    "otio": "OpenTimelineIO, for DaVinci Resolve and others",
    "fcpxml": "for Final Cut Pro and DaVinci Resolve, and FCP 7 XML beside it for Premiere Pro",
    "edl": "a CMX 3600 list of the video",
    "capcut": "a draft of CapCut or JianYing",
    "delivery": "the film with captions, poster and a page that plays it",
}
_OF_ANY_RATE = ("otio", "delivery")
_COLLECTING = 0.8
"""The part of the progress before a ZIP is written."""


class Exported(NamedTuple):
    """Where an export is, and what the user should know about it, a sentence each."""

    path: Path
    warnings: list[str]


def export(
    story: Path,
    to: str,
    *,
    output: Path,
    into: Path | None,
    as_zip: bool,
    force: bool,
    downloads: Path,
    on_step: OnStep,
) -> Exported:
    """Exports a rendered story.

    Args:
        story: its file.
        to: one of FORMATS.
        output: the folder of the results.
        into: where the export is put; by default `export` in the story's own folder there.
        as_zip: whether it is one file.
        force: whether what is there already is replaced.
        downloads: an existing folder for what the story has at an address.
        on_step: shows how far it is.

    Raises:
        Problems: everything that is in the way.
        OSError: something cannot be read or written.
    """
    rendered = read_rendered(story, output, () if to in _OF_ANY_RATE else RATES)
    into = into or rendered.folder / "export"
    if into.exists() and not into.is_dir():
        raise Problems([Problem(str(into), "is a file: name a folder with --into.")])
    target = _target(rendered, to, into, as_zip)
    if target.exists() and not force:
        what = "exists already, perhaps with your changes: move it away, or replace it with --force."
        raise Problems([Problem(str(target), what)])
    failing = list(_failing(rendered.manifest))
    share = _COLLECTING if as_zip else 1.0

    def fill(folder: Path) -> list[str]:
        return _fill(rendered, to, as_zip, folder, downloads, lambda now, done: on_step(now, done * share))

    try:
        if not as_zip:
            with folder_aside(target) as folder:
                return Exported(target, [*failing, *fill(folder)])
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as aside:
            warnings = fill(Path(aside))
            # An .otioz has its timeline at the top.
            top = "" if target.suffix == ".otioz" else target.stem
            write_zip(Path(aside), target, top, lambda done: on_step(target.name, share + done * (1 - share)))
            return Exported(target, [*failing, *warnings])
    except ValueError as error:
        raise Problems([Problem(str(story), f"cannot be exported: {error}")]) from None


def _failing(manifest: Manifest) -> Iterator[str]:
    """The clips that failed their check, a sentence each."""
    for scene in manifest.scenes:
        if scene.check and scene.check.verdict == "fail":
            yield f"{scene.id} failed its check: {'; '.join(scene.check.failures)}."


def _target(rendered: Rendered, to: str, into: Path, as_zip: bool) -> Path:
    name = f"{rendered.story.project_id}-{to}"
    if not as_zip:
        return into / name
    return into / (f"{rendered.story.project_id}.otioz" if to == "otio" else f"{name}.zip")


def _fill(
    rendered: Rendered, to: str, as_zip: bool, folder: Path, downloads: Path, on_step: OnStep
) -> list[str]:
    if to == "delivery":
        return delivery.write(rendered, folder, on_step)
    collector = Collector(rendered, folder, downloads, on_step)
    timeline = collector.collect()
    files = _otioz(timeline) if to == "otio" and as_zip else _WRITERS[to](timeline)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_subtitles(timeline.captions, folder, timeline.name)
    return collector.warnings


def _otio(timeline: Timeline) -> dict[str, str]:
    return {f"{timeline.name}.otio": otio.to_otio(timeline).to_json_string(indent=2)}


def _otioz(timeline: Timeline) -> dict[str, str]:
    """What the adapter `otioz` of OpenTimelineIO has beside the media."""
    return {"content.otio": otio.to_otio(timeline).to_json_string(indent=2), "version.txt": "1.0.0"}


def _fcpxml(timeline: Timeline) -> dict[str, str]:
    return {
        f"{timeline.name}.fcpxml": fcpxml.to_fcpxml(timeline),
        f"{timeline.name}.xml": otio.to_fcp7(timeline),
    }


def _edl(timeline: Timeline) -> dict[str, str]:
    return {f"{timeline.name}.edl": otio.to_edl(timeline)}


_WRITERS: dict[str, Callable[[Timeline], dict[str, str]]] = {
    "otio": _otio,
    "fcpxml": _fcpxml,
    "edl": _edl,
    "capcut": capcut.to_draft,
}
