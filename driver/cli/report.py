"""What a render of stories ends with: what failed, what was made, and where it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from story_studio.story.graph import Phase

from .. import terminal
from ..rendering.manifest import Manifest
from ..rendering.prepare import RenderPlan
from ..rendering.render import Renderer
from ..rendering.run import RenderError
from ..storage.store import StorageError
from ..terminal import FAILED, OK, PARTIAL


def render_and_report(renderer: Renderer, plans: Sequence[RenderPlan], output: Path) -> int:
    """Renders stories with a progress bar; returns the exit status."""
    scenes, films = sum(len(plan.inputs) for plan in plans), sum(bool(plan.story.film) for plan in plans)
    totals: dict[Phase, int] = {"still": scenes, "clip": scenes, "film": films}
    try:
        with terminal.progress(totals) as show:
            manifests = renderer.render(plans, output, show)
    except (RenderError, StorageError) as error:
        terminal.say(str(error), "red")
        return FAILED
    return max(_report(manifest, output) for manifest in manifests)


def _report(manifest: Manifest, output: Path) -> int:
    folder = output / manifest.project_id
    for scene in manifest.scenes:
        if scene.error is not None:
            terminal.say(f"{scene.id} failed: {scene.error}", "red")
    loads = sum(manifest.model_loads.values())
    reused = sum(bool(scene.clip and scene.clip.reused) for scene in manifest.scenes)
    terminal.say(
        f"{manifest.project_id} is {manifest.status}: {len(manifest.scenes)} scenes, {reused} clips reused, "
        f"{loads} model files loaded, {terminal.duration(manifest.seconds['total'])}."
    )
    sys.stdout.write(f"{folder / manifest.film.file if manifest.film else folder}\n")
    return {"complete": OK, "partial": PARTIAL}.get(manifest.status, FAILED)
