"""A story as a job's input: files of this machine become data URIs, or objects in the endpoint's bucket."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from story_studio.story.part import Part
from story_studio.story.plan import own_recipes
from story_studio.story.problems import Problem, Problems
from story_studio.story.schema import Story

from ..fetch.download import is_address
from ..files import content_name
from ..media_types import media_type
from ..rendering.input_file import InputFile
from ..rendering.prepare import RenderPlan
from ..storage import from_environment
from ..storage.bucket import Bucket
from .client import MAX_BYTES

_FILM = ""
"""Stands for the film where scenes are named by their ids, which are not empty."""
_SPARE_BYTES = 1000
"""Room for what a job has besides its input."""


def job_input(story: Story) -> dict[str, Any]:
    """The input of the job that renders a story."""
    # An endpoint of another version may lack fields, and have other defaults.
    fields = story.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    return {"task": "batch", **fields, "film": fields.get("film", story.film is not None)}


def reachable(plan: RenderPlan) -> Story:
    """The story with addresses, data or keys of the bucket where it named files of this machine.

    Raises:
        Problems: they are too large for a job, and there is no bucket; or some cannot be sent at all.
        StorageError: they cannot be put into the bucket.
    """
    story = plan.story
    if own := own_recipes(story):
        what = "names a file of this machine, which an endpoint cannot have: leave it out."
        raise Problems(Problem(where, what) for where in own)
    local: dict[tuple[str, str], InputFile] = {}
    music = story.film.music if story.film else None
    if plan.music_file and music and not is_address(music.file):
        local[_FILM, "file"] = plan.music_file
    for scene in story.scenes:
        inputs = plan.inputs[scene.id]
        if inputs.recording and scene.audio and not is_address(scene.audio):
            local[scene.id, "audio"] = inputs.recording
        if inputs.image and scene.image and not is_address(scene.image):
            local[scene.id, "image"] = inputs.image
    size = sum(4 * (file.path.stat().st_size // 3 + 1) + 100 for file in local.values())
    if len(json.dumps(job_input(story)).encode()) + size < MAX_BYTES - _SPARE_BYTES:
        sources = {place: _data_uri(file.path) for place, file in local.items()}
    else:
        sources = _upload(local, story.project_id, size)
    story = story.model_copy(deep=True)
    parts: dict[str, Part] = {scene.id: scene for scene in story.scenes}
    if story.film and story.film.music:
        parts[_FILM] = story.film.music
    for (part, field), source in sources.items():
        setattr(parts[part], field, source)
    return story


def _data_uri(path: Path) -> str:
    return f"data:{media_type(path.name)};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _upload(local: dict[tuple[str, str], InputFile], project: str, size: int) -> dict[tuple[str, str], str]:
    """Puts files into the bucket, unless they are there; their keys."""
    if Bucket.from_environment() is None:
        what = (
            f"take {size / 1e6:.1f} MB, and a job holds {MAX_BYTES // 10**6}: set the BUCKET_ variables that "
            "the endpoint has, and they are sent through its bucket; or use http(s) addresses."
        )
        raise Problems([Problem("the recordings and images", what)])
    store = from_environment(Path())

    def put(file: InputFile) -> str:
        key = f"StoryStudio/{project}/inputs/{content_name(file.path.name, file.sha256)}"
        stored = store.find(key)
        if stored is None or stored.sha256 != file.sha256:
            store.upload(file.path, key, lasting=True)
        return key

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(local, pool.map(put, local.values()), strict=True))
