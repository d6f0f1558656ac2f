"""The route that turns a story file or a script into the graph that the driver would submit, for a canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from aiohttp import web

from ..core import folders, server
from ..media.probe import probe
from ..results import result_store
from ..story.boxes import boxes_of
from ..story.clip_graph import recipe_of
from ..story.graph import CharacterId, Files, Graph, Plan, SceneId, build, plan_of, warnings
from ..story.pins import read_pin
from ..story.problems import Problem, Problems
from ..story.recipes import Recipe, load_recipe, read_recipe, shipped_recipe
from ..story.results import Kind
from ..story.scene import Scene
from ..story.schema import Story, parse, read
from ..story.script.read import SUFFIXES, finished, story_from_script
from ..story.script.recordings import read_recordings
from ..story.story_data import data_of
from .body import answer

ROUTE = "/story_studio/graph"
_SENT = {"name": str, "text": str, "files": dict, "workflows": dict}


def add_route() -> None:
    """Lets the server answer POST /story_studio/graph."""
    server.add_post_route(ROUTE, _answer)


def graph_of(
    name: str,
    text: str,
    files: Mapping[str, str],
    workflows: Mapping[str, str],
    texts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The graph of a story file.

    Args:
        name: the story file's name, or a script's; that of a folder of recordings ends in `/`.
        text: YAML or JSON, or the script.
        files: the names of files in ComfyUI's input folder, by their paths relative to the story file.
        workflows: the texts of JSON files that came with the story, by their paths relative to it.
        texts: what is said in the recordings of a folder, by the names of text files.

    Returns:
        `title`, of the story; `prompt`, an API workflow; `groups`, pairs of a title and node ids, which hold
        every node once; `canvas`, the same results as `Boxes`; `missing`, the recordings and images that
        neither `files` nor the input folder has; `warnings`, sentences; `data`, the story file's data with
        files named as they are in the input folder; `workflows`, the texts of the recipes of its own, by the
        paths that it names.

    Raises:
        Problems: everything that is wrong with the story, each with its line.
    """
    story, notes = _story(name, text, files, texts or {})
    notes += _without_lost_takes(story)
    opened = planned(name, story, files, workflows)
    graph = build([opened.plan])
    return {
        "title": story.title or story.project_id,
        "prompt": graph.nodes,
        "groups": _groups(story, graph),
        "canvas": asdict(boxes_of(opened.plan, graph)),
        "missing": sorted(source for source, found in opened.named.items() if found is None),
        "warnings": [*notes, *_left_to_do(story, opened.voices, opened.named), *warnings(opened.plan)],
        "data": data_of(story, opened.named, opened.voices),
        "workflows": opened.workflows,
    }


class Opened(NamedTuple):
    """A story with the files that it names.

    Attributes:
        plan: the story.
        named: the names of its files in ComfyUI's input folder, by what the story calls them; None for those
            that are not there.
        voices: the names of recordings that have to be made, by scene.
        workflows: the texts of the recipes that came with the story, by the paths that it names.
    """

    plan: Plan
    named: dict[str, str | None]
    voices: dict[str, str]
    workflows: dict[str, str]


def planned(name: str, story: Story, files: Mapping[str, str], workflows: Mapping[str, str]) -> Opened:
    """A story with its files, from those that came with it and those in ComfyUI's input folder.

    Args as of `graph_of`. Raises Problems: a recipe of the story is missing or wrong.
    """

    own_recipes: dict[str, str] = {}

    def load(own: str, kind: str) -> Recipe:
        found = _find(workflows, own)
        if found is None and (shipped := shipped_recipe(own)):
            return load_recipe(shipped, kind)
        if found is None:
            raise Problems([Problem(f"{name}: {own}", "is not there: drop it together with the story file.")])
        own_recipes[_in_posix(own)] = found
        return read_recipe(found, kind, own)

    sources = {
        source for scene in story.scenes for source in (scene.audio, scene.image, scene.clip) if source
    }
    # Voices are made by the driver, before it submits the graph.
    voices = {scene.id: f"{scene.id}_voice.wav" for scene in story.scenes if scene.is_spoken}
    sources |= {*voices.values()}
    sources |= {character.reference for character in story.characters.values() if character.reference}
    music = story.film.music.file if story.film and story.film.music else None
    sources |= {music} if music else set()
    named = {source: _find(files, source) or _in_input_folder(source) for source in sources}

    def found(source: str | None) -> str | None:
        return None if source is None else named[source] or source

    scenes = {
        scene.id: Files(found(voices.get(scene.id, scene.audio)), found(scene.image), found(scene.clip))
        for scene in story.scenes
    }
    references = {
        key: reference
        for key, character in story.characters.items()
        if (reference := found(character.reference))
    }
    plan = replace(plan_of(story, scenes, load), music=found(music), references=references)
    plan = replace(plan, files={scene.id: _timed(plan, scene) for scene in story.scenes})
    return Opened(plan, named, voices, own_recipes)


def _story(
    name: str, text: str, files: Mapping[str, str], texts: Mapping[str, str]
) -> tuple[Story, list[str]]:
    """The story in what was dropped, and what of a script is not in it. Raises Problems: what is wrong."""
    if name.endswith("/"):
        script = read_recordings((path for path in (*files, *texts) if "/" not in path), texts)
        made = finished(script, name.rstrip("/"))
    elif name.lower().endswith(SUFFIXES):
        made = story_from_script(name, text.replace("\r\n", "\n").replace("\r", "\n"))
    else:
        return read(text, Path(name)), []
    return parse(made.data), made.notes


def _without_lost_takes(story: Story) -> Iterator[str]:
    """Leaves out the takes that *Save* has named and this server does not have, as on another machine or once
    they are deleted: they would fail, and what the story says can be made. A take that always holds stays."""
    lost = []
    for scene in story.scenes:
        still, clip = read_pin(scene.still_take), read_pin(scene.clip_take)
        if still and still.own and result_store.find(Kind.STILL, still.key) is None:
            scene.still_take = None
            lost.append(f"{scene.id} (still)")
        if clip and clip.own and result_store.find(Kind.CLIP, clip.key) is None:
            scene.clip_take = None
            lost.append(f"{scene.id} (clip)")
    if lost:
        yield f"Takes that this server does not have are rendered again: {_listed(lost)}."


def _left_to_do(story: Story, voices: Mapping[str, str], named: Mapping[str, str | None]) -> Iterator[str]:
    if unwritten := [scene.id for scene in story.scenes if scene.is_unwritten]:
        yield f"Prompts are left to write, marked FILL IN: {_listed(unwritten)}."
    if silent := [scene for scene, file in voices.items() if named[file] is None]:
        yield (
            f"Scenes have a text and no recording: {_listed(silent)}. Choose recordings in their Load Audio "
            "nodes; `story-studio render` makes voices."
        )


def _listed(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def _timed(plan: Plan, scene: Scene) -> Files:
    """A scene's files; with the length of its voice if that says how many clips its recipe has to make."""
    files, recipe = plan.files[scene.id], recipe_of(plan, scene)
    if recipe is None or "length" not in recipe.parameters or not files.audio:
        return files
    try:
        path = folders.input_file(files.audio)
        return files._replace(seconds=probe(path).audio_seconds) if path else files
    except (OSError, ValueError):
        # ComfyUI says what is wrong with the file when it loads it; a data URI is no name of one.
        return files


def _in_input_folder(source: str) -> str | None:
    """A file that a saved story names as it is in ComfyUI's input folder."""
    return source if folders.input_file(source) else None


def _find(entries: Mapping[str, str], path: str) -> str | None:
    """The entry for a path, or for the only file of this name if there is none."""
    wanted = _in_posix(path)
    if wanted in entries:
        return entries[wanted]
    same = [value for key, value in entries.items() if PurePosixPath(key).name == PurePosixPath(wanted).name]
    return same[0] if len(same) == 1 else None


def _in_posix(path: str) -> str:
    return str(PurePosixPath(path.replace("\\", "/")))


def _groups(story: Story, graph: Graph) -> list[tuple[str, list[str]]]:
    ends = {*graph.sheets.values(), *graph.films.values()}
    groups: dict[SceneId | str, tuple[str, list[str]]] = {"shared": ("Models and settings", [])}
    groups |= {CharacterId(0, key).owner: (story.name_of(key), []) for key in story.characters}
    groups |= {SceneId(0, scene.id): (scene.title or scene.id, []) for scene in story.scenes}
    groups["end"] = ("Storyboard and film", [])
    for node_id, owner in graph.owners.items():
        groups["end" if node_id in ends else owner.scene or "shared"][1].append(node_id)
    return [group for group in groups.values() if group[1]]


def _read(sent: Any) -> Callable[[], Any]:
    fields = {name: sent[name] for name in _SENT}
    texts = sent.get("texts", {})
    pairs = [*fields["files"].items(), *fields["workflows"].items(), *texts.items()]
    is_typed = all(isinstance(fields[name], kind) for name, kind in _SENT.items())
    if not is_typed or not all(isinstance(value, str) for _, value in pairs):
        raise TypeError
    return lambda: graph_of(**fields, texts=texts)


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, _read, f"Send {', '.join(_SENT)} as JSON.")
