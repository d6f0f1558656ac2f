"""A story that was rendered: its files as the manifest has them, checked before anything is exported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from story_studio.story.plan import Plan
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import load_profile
from story_studio.story.results import MANIFEST
from story_studio.story.schema import Story, load

from ..files import sha256_of
from ..rendering.cut import Cut
from ..rendering.manifest import (
    Manifest,
    Result,
    SceneEntry,
    VideoResult,
    film_settings,
    read_manifest,
)
from ..version import version
from .earlier import plain_cut

_MUSIC = "music file"
"""A setting that names the music by its content, which an export does not need."""
AGAIN = "render it again, which makes only what is missing"


@dataclass(frozen=True)
class Rendered:
    """A story and what its last render made.

    Attributes:
        story: as its file says now.
        path: that file.
        folder: of the results.
        manifest: of the last render.
        film: the film's entry in it.
        cut: where the shots are in the film.
    """

    story: Story
    path: Path
    folder: Path
    manifest: Manifest
    film: VideoResult
    cut: Cut

    @property
    def film_path(self) -> Path:
        """The film."""
        return self.folder / self.film.file

    def footage(self, scene: str) -> Path:
        """The file that the film shows for a scene."""
        entry = self.manifest.scene(scene)
        result = _footage(entry) if entry else None
        assert result, f"the cut names {scene}, which has no clip"
        return self.folder / result.file


def read_rendered(path: Path, output: Path, rates: Sequence[int] = ()) -> Rendered:
    """A story's file and its results below a folder.

    Args:
        path: the story's file.
        output: the folder of the results.
        rates: the frames a second that the film may have; without any, it may have any.

    Raises:
        Problems: the story is wrong, was not rendered or only in part, it or its files have changed since, or
            the film has another rate.
    """
    story = load(path)
    folder = output / story.project_id
    manifest = read_manifest(folder)
    if manifest is None:
        where = f"no {MANIFEST} in {folder}" if folder.is_dir() else f"{folder} does not exist"
        what = (
            f"was not rendered ({where}): run `story-studio render {path}`, or name the folder of the results"
        )
        raise Problems([Problem(str(path), f"{what} with --output.")])
    problems = [Problem(str(path), what) for what in _unfinished(story, manifest)]
    film = manifest.film
    if film:
        problems += [Problem(str(path), what) for what in _changed(story, manifest, film)]
        problems += [Problem(str(folder / name), what) for name, what in _broken(folder, manifest)]
    cut = _cut(folder, manifest, film) if film else None
    if cut and rates and cut.rate not in rates:
        problems.append(Problem(str(path), _other_rate(cut, rates)))
    if problems or not film:
        raise Problems(problems)
    if cut is None:
        what = f"does not say where its shots are, as films of earlier versions: {AGAIN}."
        raise Problems([Problem(str(folder / film.file), what)])
    return Rendered(story, path, folder, manifest, film, cut)


def _other_rate(cut: Cut, rates: Sequence[int]) -> str:
    *others, last = map(str, rates)
    return (
        f"the film has {float(cut.rate):g} frames per second, and this format takes {', '.join(others)} or "
        f"{last}: write `film: {{fps: {rates[0]}}}` in the story and {AGAIN}, or export it to otio."
    )


def _unfinished(story: Story, manifest: Manifest) -> Iterator[str]:
    if story.film is None:
        yield "has no film (`film: false`): leave that out, and render it again."
    elif manifest.film is None:
        failed = [scene.id for scene in manifest.scenes if scene.error is not None]
        scenes = f"; failed: {', '.join(failed)}" if failed else ""
        yield f"has no film yet, its last render is {manifest.status}{scenes}: {AGAIN}."


def _changed(story: Story, manifest: Manifest, film: VideoResult) -> Iterator[str]:
    """What of a story's file the film does not show."""
    before = film.settings or {}
    # In a manifest they are JSON.
    now = json.loads(
        json.dumps(film_settings(Plan(story, load_profile(manifest.profile or story.profile), {})))
    )
    names = now.keys() & before.keys()
    if manifest.version == version():
        # Earlier versions state fewer.
        names = (now.keys() | before.keys()) - {_MUSIC}
    changed = sorted(name for name in names if now.get(name) != before.get(name))
    if changed:
        yield f"has changed since it was rendered ({', '.join(changed)}): {AGAIN}."


def _broken(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    results = [manifest.film, manifest.storyboard]
    for scene in manifest.scenes:
        results += [scene.still, _footage(scene)]
    for result in results:
        if result is None or not result.file:
            continue
        path = folder / result.file
        if not path.is_file():
            yield result.file, f"is missing: {AGAIN}."
        elif result.sha256 and sha256_of(path) != result.sha256:
            yield result.file, f"has changed since it was rendered: {AGAIN}."


def _footage(scene: SceneEntry) -> Result | None:
    return scene.master or scene.clip


def _cut(folder: Path, manifest: Manifest, film: VideoResult) -> Cut | None:
    """The cut as the film's own file says it, or as an earlier version must have made it."""
    cut = film.cut or plain_cut(folder, manifest, film)
    if cut is None or not cut.is_whole:
        return None
    shown = {scene.id for scene in manifest.scenes if _footage(scene)}
    if any(shot.kind == "scene" and shot.scene not in shown for shot in cut.shots):
        return None
    return cut
