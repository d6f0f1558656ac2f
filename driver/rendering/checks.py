"""The clips of a rendered story as they are checked afterwards, and what is written down of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ImageOps

from story_studio.checks.check import Check
from story_studio.story.check_graph import is_checked
from story_studio.story.plan import Plan, plan_of
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import load_recipe
from story_studio.story.results import MANIFEST, Kind
from story_studio.story.schema import Quality, load

from ..fetch.local import spelled
from ..files import sha256_of, written_aside
from .image_files import MAX_PIXELS, open_image, too_large, unreadable, what_it_is_instead
from .manifest import CheckResult, Manifest, SceneEntry, read_manifest
from .render import locked


class ClipToCheck(NamedTuple):
    """A clip and what its check needs.

    Attributes:
        name: of the result, for people.
        talking: whether somebody is to speak on screen.
        reference: the image that it starts from, where somebody speaks.
        scene: the entry in the manifest as it is now; None for a file by itself.
    """

    path: Path
    name: str
    talking: bool = True
    reference: Path | None = None
    scene: SceneEntry | None = None


class RenderedClips(NamedTuple):
    """The clips of a story, and the folder with its manifest, where their checks are written down."""

    folder: Path
    clips: list[ClipToCheck]


def rendered_clips(path: Path, output: Path) -> RenderedClips:
    """The clips that models have made for a story, by the manifest of its last render.

    Args:
        path: the story's file.
        output: the folder of the results.

    Raises:
        Problems: the story is wrong, was not rendered, or has no such clip.
    """
    story = load(path)
    folder = output / story.project_id
    manifest = read_manifest(folder)
    if manifest is None:
        what = (
            f"was not rendered (no {MANIFEST} in {folder}): run `story-studio render {path}`, or name the "
            "folder of the results with --output."
        )
        raise Problems([Problem(str(path), what)])
    # Whoever asks for checks gets them, whatever the story says of its renders.
    asked = {"profile": manifest.profile or story.profile, "quality": Quality()}
    story = story.model_copy(update=asked)
    plan = plan_of(story, {}, lambda recipe, kind: load_recipe(spelled(recipe, path.parent), kind))
    clips = list(_clips(plan, folder, manifest))
    if not clips:
        what = (
            "has no clip to check: those of drafts, camera moves and own clips are not made by a model. Name "
            "their files to check them all the same."
        )
        raise Problems([Problem(str(path), what)])
    missing = [clip.path for clip in clips if not clip.path.is_file()]
    if missing:
        again = "is missing: render the story again, which makes only what is missing."
        raise Problems(Problem(str(file), again) for file in missing)
    return RenderedClips(folder, clips)


def _clips(plan: Plan, folder: Path, manifest: Manifest) -> Iterator[ClipToCheck]:
    for scene in plan.story.scenes:
        entry = manifest.scene(scene.id)
        if entry is None or entry.clip is None or not is_checked(plan, scene):
            continue
        talking, reference = scene.kind_of == "talking", None
        if talking and entry.still and entry.still.file and (folder / entry.still.file).is_file():
            reference = folder / entry.still.file
        name = f"{plan.story.project_id}_{scene.id}"
        yield ClipToCheck(folder / entry.clip.file, name, talking, reference, entry)


def read_reference(path: Path) -> np.ndarray:
    """The pixels of an image, upright, rgb24 uint8 [H, W, 3].

    Raises:
        OSError: it cannot be read.
        ValueError: it is no image; with what to do.
    """
    if wrong := what_it_is_instead(path):
        raise ValueError(wrong)
    try:
        with open_image(path) as image:
            if image.width * image.height <= MAX_PIXELS:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:
        # Pillow's decoders raise anything.
        raise ValueError(unreadable(path, error)) from error
    raise ValueError(too_large())


def write_down(rendered: RenderedClips, checks: Mapping[str, Check]) -> list[str]:
    """Puts the checks of a story's clips into its manifest, and their sheets beside the clips.

    Args:
        checks: by the scene. Those of clips that a render has replaced since are left out.

    Returns:
        The scenes that are left out.

    Raises:
        RenderError: a render of the story is under way.
        OSError: the folder cannot be written to.
    """
    replaced: list[str] = []
    with locked(rendered.folder):
        manifest = read_manifest(rendered.folder) or Manifest()
        for clip in rendered.clips:
            if clip.scene is None or clip.scene.id not in checks:
                continue
            entry = manifest.scene(clip.scene.id)
            if entry is None or _clip_of(entry) != _clip_of(clip.scene):
                replaced.append(clip.scene.id)
                continue
            _note_check(rendered.folder, entry, checks[entry.id])
        if len(replaced) < len(checks):
            manifest.write(rendered.folder)
    return replaced


def _clip_of(entry: SceneEntry) -> tuple[str, str] | None:
    return (entry.clip.key, entry.clip.sha256) if entry.clip else None


def _note_check(folder: Path, entry: SceneEntry, check: Check) -> None:
    sheet: dict[str, Any] = {}
    if check.sheet:
        target = folder / Kind.CHECK.project_file(entry.id)
        with written_aside(target) as aside:
            shutil.copyfile(check.sheet, aside)
        sheet = {"file": target.name, "sha256": sha256_of(target), "bytes": target.stat().st_size}
    entry.check = CheckResult(
        verdict=check.verdict,
        findings=check.findings,
        figures=check.figures,
        key=check.key,
        reused=check.reused,
        **sheet,
    )
