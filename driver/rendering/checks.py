"""The clips of a rendered story as they are checked afterwards, and what is written down of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from story_studio.checks.check import Check
from story_studio.story.check_graph import is_checked
from story_studio.story.plan import Plan, plan_of
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import load_recipe
from story_studio.story.results import MANIFEST, Kind
from story_studio.story.schema import Quality, load

from ..fetch.local import spelled
from ..files import sha256_of, written_aside
from .image_files import what_it_is_instead
from .manifest import CheckResult, Manifest, SceneEntry, read_manifest


class ClipToCheck(NamedTuple):
    """A clip and what its check needs.

    Attributes:
        name: of the result, for people.
        talking: whether somebody is to speak on screen.
        reference: the image that it starts from.
        scene: the entry in the manifest; None for a file by itself.
    """

    path: Path
    name: str
    talking: bool = True
    reference: Path | None = None
    scene: SceneEntry | None = None


class RenderedClips(NamedTuple):
    """The clips of a story, and where their checks are written down."""

    folder: Path
    manifest: Manifest
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
    return RenderedClips(folder, manifest, clips)


def _clips(plan: Plan, folder: Path, manifest: Manifest) -> Iterator[ClipToCheck]:
    for scene in plan.story.scenes:
        entry = manifest.scene(scene.id)
        if entry is None or entry.clip is None or not is_checked(plan, scene):
            continue
        still = folder / entry.still.file if entry.still and entry.still.file else None
        yield ClipToCheck(
            folder / entry.clip.file,
            f"{plan.story.project_id}_{scene.id}",
            scene.kind_of == "talking",
            still if still and still.is_file() else None,
            entry,
        )


def read_reference(path: Path) -> np.ndarray:
    """The pixels of an image, upright, rgb24 uint8 [H, W, 3].

    Raises:
        OSError: it cannot be read.
        ValueError: it is no image; with what to do.
    """
    if wrong := what_it_is_instead(path):
        raise ValueError(wrong)
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError("cannot be read as an image: export it again as PNG.") from error


def note_check(rendered: RenderedClips, entry: SceneEntry, check: Check) -> None:
    """Puts the sheet of a scene's check beside its clip, and the check into the manifest's entry.

    Raises:
        OSError: the folder cannot be written to.
    """
    sheet: dict[str, Any] = {}
    if check.sheet:
        target = rendered.folder / Kind.CHECK.project_file(entry.id)
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
