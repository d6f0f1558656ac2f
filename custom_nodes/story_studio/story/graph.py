"""Stories become one ComfyUI graph: all stills, then all clips, then the films; identical nodes stand once.

Pure functions over plain data: no file is read and nothing is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .recipes import Link, Nodes, Profile, Recipe, is_link, load_profile
from .schema import Scene, Story

Phase = Literal["still", "clip", "film"]


class SceneId(NamedTuple):
    """A scene among several stories: the story's number and the scene's id."""

    story: int
    scene: str


class Files(NamedTuple):
    """A scene's inputs as the server names them, below its input folder."""

    audio: str
    image: str | None


@dataclass(frozen=True)
class Plan:
    """A story that is ready to be rendered: with its profile (or templates of its own) and its files.

    Without `clips` only its stills are made.
    """

    story: Story
    profile: Profile
    files: dict[str, Files]
    clips: bool = True


def plan_of(story: Story, files: dict[str, Files], load: Callable[[str, str], Recipe]) -> Plan:
    """The plan of a story: its profile, with the templates of its own that it names.

    Args:
        story: the story.
        files: what the server calls its files, by scene.
        load: gives a template, from the name that the story has for it, and its kind.

    Raises:
        Problems: there is no such profile, and what `load` raises.
    """
    profile = load_profile(story.profile)
    if own := story.image_settings.workflow:
        profile = profile._replace(still=load(own, "still"), still_settings={})
    if own := story.video_settings.workflow:
        profile = profile._replace(clip=load(own, "clip"), clip_settings={})
    return Plan(story, profile, files)


class Owner(NamedTuple):
    """What a node works for; `scene` is None if it serves several."""

    phase: Phase
    scene: SceneId | None


@dataclass
class Graph:
    """An API workflow, and which of its nodes makes what.

    Attributes:
        nodes: the workflow, as ComfyUI's /prompt takes it.
        owners: what each node works for.
        stills, clips: the checkpoint node of each scene.
        sheets, films: the node of each story's contact sheet and film; a story may lack its film.
    """

    nodes: Nodes = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    stills: dict[SceneId, str] = field(default_factory=dict)
    clips: dict[SceneId, str] = field(default_factory=dict)
    sheets: dict[int, str] = field(default_factory=dict)
    films: dict[int, str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, owner: Owner, title: str, cls: str, /, **inputs: Any) -> Link:
        """A node with these inputs, constants or links: the one that is there, or a new one."""
        inputs = {name: list(value) if isinstance(value, Link) else value for name, value in inputs.items()}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        key = json.dumps([cls, inputs], sort_keys=True)
        if key not in self._known:
            node_id = self._known[key] = str(len(self.nodes) + 1)
            title = f"{owner.scene.scene}: {title}" if owner.scene else title
            self.nodes[node_id] = {"class_type": cls, "inputs": inputs, "_meta": {"title": title}}
            self.owners[node_id] = owner
        elif self.owners[self._known[key]].scene != owner.scene:
            node_id = self._known[key]
            self.nodes[node_id]["_meta"]["title"] = title
            self.owners[node_id] = Owner(self.owners[node_id].phase, None)
        return Link(self._known[key])

    def add_recipe(self, owner: Owner, template: Recipe, values: dict[str, Any]) -> Link:
        """The result of a template whose parameters have these values: constants, or links to other nodes."""
        placed: dict[str, Link] = {}
        by_node = {node: values[name] for name, node in template.parameters.items() if name in values}
        by_node |= {node: _literal(by_node[node]) for node in template.encoded() & set(by_node)}
        for node_id in template.ordered():
            node, value = template.nodes[node_id], by_node.get(node_id)
            if isinstance(value, Link):
                placed[node_id] = value
                continue
            inputs = {
                name: Link(placed[old[0]].node, placed[old[0]].output + old[1]) if is_link(old) else old
                for name, old in node["inputs"].items()
            }
            if value is not None:
                inputs |= value if isinstance(value, dict) else {_value_input(node["inputs"]): value}
            title = node.get("_meta", {}).get("title", node["class_type"]).lstrip("$")
            placed[node_id] = self.add(owner, title, node["class_type"], **inputs)
        return Link(placed[template.result.node].node, template.result.output)


def build(plans: Sequence[Plan], without: frozenset[SceneId] = frozenset()) -> Graph:
    """The graph of several stories, without the scenes that failed; a story without scenes makes nothing."""
    graph = Graph()
    last: Link | None = None
    for number, plan in enumerate(plans):
        last = _add_stills(graph, number, plan, without, last) or last
    for number, plan in enumerate(plans):
        if plan.clips:
            last = _add_clips(graph, number, plan, without, last) or last
    return graph


def still_size(story: Story) -> tuple[int, int]:
    """Width and height of a story's stills: as told, or the largest that its clips use without cropping."""
    width, height = (side // 64 * 64 for side in story.video_settings.size)
    return story.image_settings.width or min(width, 2048), story.image_settings.height or min(height, 2048)


def still_values(plan: Plan, scene: Scene) -> dict[str, Any]:
    """The parameters of a scene's still, by name; what the story leaves out is the profile's."""
    width, height = still_size(plan.story)
    settings = plan.story.image_settings
    told = {"steps": settings.steps, "cfg": settings.cfg, "negative_prompt": settings.negative_prompt}
    return {
        **plan.profile.still_settings,
        **{name: value for name, value in told.items() if value is not None},
        "prompt": plan.story.prompt_of(scene),
        "subject": scene.prompt,
        "heading": scene.title or scene.id.replace("_", " "),
        "width": width,
        "height": height,
        "seed": plan.story.seed_of(scene),
    }


def clip_values(plan: Plan, scene: Scene) -> dict[str, Any]:
    """The parameters of a scene's clip, by name, without its picture and its place in the order."""
    width, height = plan.story.video_settings.size
    settings = plan.story.video_settings
    told = {"steps": settings.sample_steps, "cfg": settings.cfg, "negative_prompt": settings.negative_prompt}
    return {
        **plan.profile.clip_settings,
        **{name: value for name, value in told.items() if value is not None},
        "prompt": scene.video_prompt,
        "audio": plan.files[scene.id].audio,
        "width": width,
        "height": height,
        "seed": plan.story.seed_of(scene),
    }


def warnings(plan: Plan) -> list[str]:
    """Settings of the story that have no effect, each as a sentence."""
    found = []
    for kind, settings, template, start in (
        ("image_settings", plan.story.image_settings, plan.profile.still, plan.profile.still_settings),
        ("video_settings", plan.story.video_settings, plan.profile.clip, plan.profile.clip_settings),
    ):
        for name in sorted(settings.model_fields_set - {"workflow", "resolution"}):
            if _parameter(name) not in template.parameters and getattr(settings, name) is not None:
                found.append(
                    f"{kind}.{name} has no effect: the profile {plan.story.profile!r} does not use it."
                )
        cfg = settings.cfg if settings.cfg is not None else start.get("cfg")
        if "negative_prompt" in template.parameters and settings.negative_prompt and cfg == 1:
            found.append(f"{kind}.negative_prompt has no effect at cfg 1: raise cfg, or leave it out.")
    return found


def _parameter(setting: str) -> str:
    return "steps" if setting == "sample_steps" else setting


def _add_stills(
    graph: Graph, number: int, plan: Plan, without: frozenset[SceneId], after: Link | None
) -> Link | None:
    board: Link | None = None
    still: Link | None = None
    for scene in plan.story.scenes:
        scene_id = SceneId(number, scene.id)
        if scene_id in without:
            continue
        owner, own = Owner("still", scene_id), plan.files[scene.id].image
        if own:
            picture = graph.add(owner, "picture", "LoadImage", image=own)
        else:
            picture = graph.add_recipe(owner, plan.profile.still, still_values(plan, scene))
        name = f"{plan.story.project_id}_{scene.id}"
        still = graph.add(
            owner, "still", "StoryStudio_Still", image=picture, name=name, after=still, take=scene.still_take
        )
        graph.stills[scene_id] = still.node
        board = graph.add(
            owner,
            "storyboard",
            "StoryStudio_Storyboard",
            storyboard=board,
            still=still,
            name=scene.title or scene.id,
            prompt=scene.prompt,
        )
    if board is None:
        return None
    title = plan.story.title or plan.story.project_id
    sheet = graph.add(
        Owner("still", None),
        "contact sheet",
        "StoryStudio_ContactSheet",
        storyboard=board,
        title=title,
        name=plan.story.project_id,
        after=after,
    )
    graph.sheets[number] = sheet.node
    return sheet


def _add_clips(
    graph: Graph, number: int, plan: Plan, without: frozenset[SceneId], after: Link | None
) -> Link | None:
    film: Link | None = None
    for scene in plan.story.scenes:
        scene_id = SceneId(number, scene.id)
        if scene_id in without:
            continue
        owner = Owner("clip", scene_id)
        values = clip_values(plan, scene) | {"image": Link(graph.stills[scene_id]), "after": after}
        video = graph.add_recipe(owner, plan.profile.clip, values)
        name = f"{plan.story.project_id}_{scene.id}"
        clip = graph.add(owner, "clip", "StoryStudio_Clip", video=video, name=name, take=scene.clip_take)
        graph.clips[scene_id] = clip.node
        film = graph.add(
            Owner("film", scene_id),
            "film scene",
            "StoryStudio_FilmScene",
            film=film,
            clip=clip,
            title=scene.title or scene.id,
            text=scene.text,
        )
        after = clip
    settings = plan.story.film
    complete = all(SceneId(number, scene.id) in graph.clips for scene in plan.story.scenes)
    if settings and film is not None and (complete or settings.partial):
        end = graph.add(
            Owner("film", None),
            "film",
            "StoryStudio_Film",
            film=film,
            join=settings.join,
            crossfade_seconds=settings.crossfade_seconds,
            chapters=settings.chapters,
            captions=settings.captions,
            title=plan.story.title,
            name=plan.story.project_id,
        )
        graph.films[number] = end.node
    return after


def _literal(text: str) -> str:
    """Words as they are said: without this, CLIPTextEncode takes (words:1.5) for weighted ones."""
    return text.replace("(", "\\(").replace(")", "\\)")


def _value_input(inputs: dict[str, Any]) -> str:
    """The input of a parameter node that holds its value: the first, as in stock primitives and loaders."""
    return next(iter(inputs), "value")
