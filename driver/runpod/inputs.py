"""A story as a job's input: files of this machine become data URIs, or objects in the endpoint's bucket."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

from story_studio.story.part import Part
from story_studio.story.plan import own_recipes
from story_studio.story.problems import Problem, Problems
from story_studio.story.schema import Story, VoiceSettings

from ..fetch.download import is_address
from ..files import content_name
from ..media_types import media_type
from ..rendering.input_file import InputFile
from ..rendering.prepare import RenderPlan
from ..storage import from_environment
from ..storage.bucket import Bucket
from ..worker.shipped import is_same_as_shipped, recipe_name
from .client import MAX_BYTES

_FILM = ""
"""Stands for the film where scenes are named by their ids, which are not empty."""
_CHARACTER = "character "
"""Before the key of a character: no id has a blank."""
_RECIPES = {
    "image_settings.workflow": ("still", "reference"),
    "image_settings.reference_workflow": ("reference",),
    "video_settings.workflow": ("clip",),
    "video_settings.narrated_workflow": ("narrated",),
    "film.interpolation": ("interpolation",),
    "film.upscale": ("upscale",),
}
"""The recipes of a profile that a setting may have chosen."""
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
    story = _with_shipped_recipes(plan)
    local = dict(_local_files(plan))
    size = sum(4 * (file.path.stat().st_size // 3 + 1) + 100 for file in local.values())
    if len(json.dumps(job_input(story)).encode()) + size < MAX_BYTES - _SPARE_BYTES:
        sources = {place: _data_uri(file.path) for place, file in local.items()}
    else:
        sources = _upload(local, story.project_id, size)
    parts: dict[str, Part] = {scene.id: scene for scene in story.scenes}
    parts |= {_CHARACTER + key: character for key, character in story.characters.items()}
    if story.film and story.film.music:
        parts[_FILM] = story.film.music
    for (part, field), source in sources.items():
        setattr(parts[part], field, source)
    return story


def _local_files(plan: RenderPlan) -> Iterator[tuple[tuple[str, str], InputFile]]:
    """The files of this machine that the story needs: each with its part of the story, and the field.

    A voice that was spoken here is one of them: the plan's length and cost are those of this recording, and
    the endpoint may have other voices, or none.
    """
    story = plan.story
    music = story.film.music if story.film else None
    if plan.music_file and music and not is_address(music.file):
        yield (_FILM, "file"), plan.music_file
    for scene in story.scenes:
        inputs = plan.inputs[scene.id]
        files = {
            "audio": (scene.audio, inputs.recording),
            "image": (scene.image, inputs.image),
            "clip": (scene.clip, inputs.clip),
        }
        for field, (source, file) in files.items():
            if file and not is_address(source or ""):
                yield (scene.id, field), file
    for key, file in plan.reference_files.items():
        if not is_address(story.characters[key].reference or ""):
            yield (_CHARACTER + key, "reference"), file


def _with_shipped_recipes(plan: RenderPlan) -> Story:
    """A copy of the story that names recipes as an endpoint does, and no voices: texts are spoken already.

    Raises:
        Problems: it names recipes that an endpoint does not have.
    """
    story = plan.story.model_copy(deep=True)
    story.voice_settings = VoiceSettings()
    story.model_fields_set.discard("voice_settings")
    for key, character in story.characters.items():
        character.voice = ""
        character.model_fields_set.discard("voice")
        # Without a recipe that takes references, none was read.
        if key not in plan.reference_files:
            character.reference = None
    problems = []
    for where in own_recipes(story):
        section, field = where.split(".")
        name = PurePath(recipe_name(story, where)).name
        recipes = [getattr(plan.profile, recipe) for recipe in _RECIPES[where]]
        if any(is_same_as_shipped(name, recipe) for recipe in recipes):
            setattr(getattr(story, section), field, name)
        elif section != "film" and not any(recipes):
            # The profile has no use for it, here or there.
            setattr(getattr(story, section), field, None)
        else:
            what = "names a file of this machine, which an endpoint cannot have: leave it out."
            problems.append(Problem(where, what))
    if problems:
        raise Problems(problems)
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
        raise Problems([Problem("the recordings, images and clips", what)])
    store = from_environment(Path())

    def put(file: InputFile) -> str:
        key = f"StoryStudio/{project}/inputs/{content_name(file.path.name, file.sha256)}"
        stored = store.find(key)
        if stored is None or stored.sha256 != file.sha256:
            store.upload(file.path, key, lasting=True)
        return key

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(local, pool.map(put, local.values()), strict=True))
