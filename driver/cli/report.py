"""What a render of stories ends with: what failed, what was made, and where it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from story_studio.story.graph import Phase
from story_studio.story.still_graph import sheets_of

from .. import terminal
from ..rendering.manifest import Manifest, SceneEntry
from ..rendering.prepare import RenderPlan
from ..rendering.render import ComfyRenderer, Renderer
from ..rendering.run import RenderError
from ..storage.store import StorageError
from ..terminal import FAILED, OK, PARTIAL


def render_and_report(renderer: Renderer, plans: Sequence[RenderPlan], output: Path) -> int:
    """Renders stories with a progress bar; returns the exit status."""
    scenes, films = sum(len(plan.inputs) for plan in plans), sum(bool(plan.story.film) for plan in plans)
    sheets = sum(len(sheets_of(plan)) for plan in plans)
    totals: dict[Phase, int] = {"still": scenes + sheets, "clip": scenes, "film": films}
    try:
        with terminal.progress(totals) as show:
            manifests = renderer.render(plans, output, show)
    except (RenderError, StorageError) as error:
        terminal.say(str(error), "red")
        return FAILED
    return max(_report(manifest, output) for manifest in manifests)


def render_sheets_and_report(renderer: ComfyRenderer, plans: Sequence[RenderPlan], output: Path) -> int:
    """Renders the character sheets of stories, and says how to approve them; returns the exit status."""
    totals: dict[Phase, int] = {"still": sum(len(sheets_of(plan, every=True)) for plan in plans)}
    try:
        with terminal.progress(totals) as show:
            manifests = renderer.render(plans, output, show, only_sheets=True)
    except (RenderError, StorageError) as error:
        terminal.say(str(error), "red")
        return FAILED
    failed = False
    for plan, manifest in zip(plans, manifests, strict=True):
        for key in sheets_of(plan, every=True):
            entry = manifest.character(key)
            if entry is None or entry.sheet is None or entry.error:
                terminal.say(f"{key} failed: {entry.error if entry else 'it was not made'}", "red")
                failed = True
                continue
            path = output / manifest.project_id / entry.sheet.file
            sys.stdout.write(f"{path}  characters.{key}.reference_take: {entry.sheet.key}\n")
    terminal.say(
        "To approve a sheet, write its `reference_take` into the story. For another one, give the character "
        "another `seed` or `description` and run the command again."
    )
    return FAILED if failed else OK


def _report(manifest: Manifest, output: Path) -> int:
    folder = output / manifest.project_id
    for scene in manifest.scenes:
        if scene.error is not None:
            terminal.say(f"{scene.id} failed: {scene.error}", "red")
        elif text := _of_check(scene):
            terminal.say(text, "yellow")
    loads = sum(manifest.model_loads.values())
    reused = sum(bool(scene.clip and scene.clip.reused) for scene in manifest.scenes)
    terminal.say(
        f"{manifest.project_id} is {manifest.status}: {len(manifest.scenes)} scenes, {reused} clips reused, "
        f"{loads} model files loaded, {terminal.duration(manifest.seconds['total'])}."
    )
    sys.stdout.write(f"{folder / manifest.film.file if manifest.film else folder}\n")
    return {"complete": OK, "partial": PARTIAL}.get(manifest.status, FAILED)


def _of_check(scene: SceneEntry) -> str:
    """A line about a clip that failed its check, or was made again until one did; or nothing."""
    retakes = max(0, len(scene.takes) - 1)
    count = f"{retakes} retake{'s' * (retakes > 1)}"
    if scene.check and scene.check.verdict == "fail":
        again = f"; the best of {retakes + 1} takes is kept" if retakes else ""
        sheet = f" ({scene.check.file})" if scene.check.file else ""
        return f"{scene.id} failed its check: {'; '.join(scene.check.failures)}{again}{sheet}."
    if retakes and not all(take.reused for take in scene.takes):
        return f"{scene.id} passed its check after {count}: {'; '.join(scene.takes[0].reasons)}."
    return ""
