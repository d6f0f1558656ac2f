"""One ComfyUI graph for stories: all stills, then all clips, then the films; identical nodes are merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .keys import STAND_INS
from .recipes import Link, Nodes, Profile, Recipe, is_link, load_profile, title_of
from .schema import Scene, Story

Phase = Literal["still", "clip", "film"]
_STAND_IN_OF = {stock: ours for ours, stock in STAND_INS.items()}


class SceneId(NamedTuple):
    """A scene among several stories: the index of the story and the id of the scene."""

    story: int
    scene: str


class Files(NamedTuple):
    """The input files of a scene, as paths in the server's input folder."""

    audio: str
    image: str | None


@dataclass(frozen=True)
class Plan:
    """A story with everything its graph needs.

    Attributes:
        story: the story.
        profile: its profile, with the story's own recipes in place.
        files: the input files of each scene, by scene id.
        clips: whether clips and the film are rendered, or only stills.
    """

    story: Story
    profile: Profile
    files: dict[str, Files]
    clips: bool = True


def plan_of(story: Story, files: dict[str, Files], load: Callable[[str, str], Recipe]) -> Plan:
    """The plan of a story, with its profile and the recipes that it names itself.

    Args:
        story: the story.
        files: the input files of each scene, by scene id.
        load: returns a recipe for its name in the story and its kind, `still` or `clip`.

    Raises:
        Problems: the profile does not exist, or from `load`.
    """
    profile = load_profile(story.profile)
    if own := story.image_settings.workflow:
        profile = profile._replace(still=load(own, "still"), still_settings={})
    if own := story.video_settings.workflow:
        profile = profile._replace(clip=load(own, "clip"), clip_settings={})
    return Plan(story, profile, files)


class Owner(NamedTuple):
    """What a node belongs to; `scene` is None if it serves several."""

    phase: Phase
    scene: SceneId | None


@dataclass
class Graph:
    """An API workflow, and what its nodes are for.

    Attributes:
        nodes: the workflow as ComfyUI's /prompt expects it.
        owners: what each node belongs to.
        stills, clips: the Still and Clip node of each scene.
        sheets, films: the Contact Sheet and Film node of each story; a story can be without a film.
    """

    nodes: Nodes = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    stills: dict[SceneId, str] = field(default_factory=dict)
    clips: dict[SceneId, str] = field(default_factory=dict)
    sheets: dict[int, str] = field(default_factory=dict)
    films: dict[int, str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, owner: Owner, title: str, cls: str, /, **inputs: Any) -> Link:
        """Adds a node with these inputs, constants or links; an equal node is returned instead."""
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

    def add_recipe(self, owner: Owner, recipe: Recipe, values: dict[str, Any]) -> Link:
        """Adds a recipe with these parameter values, constants or links, and returns its result."""
        placed: dict[str, Link] = {}
        by_node = {node: values[name] for name, node in recipe.parameters.items() if name in values}
        by_node |= {node: _literal(by_node[node]) for node in recipe.encoded() & set(by_node)}
        for node_id in recipe.ordered():
            node, value = recipe.nodes[node_id], by_node.get(node_id)
            if isinstance(value, Link):
                placed[node_id] = value
                continue
            inputs = {
                name: Link(placed[old[0]].node, placed[old[0]].output + old[1]) if is_link(old) else old
                for name, old in node["inputs"].items()
            }
            if value is not None:
                inputs |= value if isinstance(value, dict) else {_value_input(node["inputs"]): value}
            title = (title_of(node) or node["class_type"]).lstrip("$")
            cls: str = node["class_type"]
            placed[node_id] = self.add(owner, title, _STAND_IN_OF.get(cls, cls), **inputs)
        return Link(placed[recipe.result.node].node, recipe.result.output)


def build(plans: Sequence[Plan], without: frozenset[SceneId] = frozenset()) -> Graph:
    """The graph of several stories without some scenes; a story without scenes adds nothing."""
    graph = Graph()
    last: Link | None = None
    for number, plan in enumerate(plans):
        last = _add_stills(graph, number, plan, without, last) or last
    for number, plan in enumerate(plans):
        if plan.clips:
            last = _add_clips(graph, number, plan, without, last) or last
    return graph


def still_size(story: Story) -> tuple[int, int]:
    """Width and height of a story's stills: as specified, or the largest that clips use without cropping."""
    width, height = (side // 64 * 64 for side in story.video_settings.size)
    return story.image_settings.width or min(width, 2048), story.image_settings.height or min(height, 2048)


def still_values(plan: Plan, scene: Scene) -> dict[str, Any]:
    """The recipe parameters of a scene's still; what the story leaves out comes from the profile."""
    width, height = still_size(plan.story)
    settings = plan.story.image_settings
    overrides = {"steps": settings.steps, "cfg": settings.cfg, "negative_prompt": settings.negative_prompt}
    return {
        **plan.profile.still_settings,
        **{name: value for name, value in overrides.items() if value is not None},
        "prompt": plan.story.prompt_of(scene),
        "subject": scene.prompt,
        "heading": scene.title or scene.id.replace("_", " "),
        "width": width,
        "height": height,
        "seed": plan.story.seed_of(scene),
    }


def clip_values(plan: Plan, scene: Scene) -> dict[str, Any]:
    """The recipe parameters of a scene's clip, except for its image and its order (`after`)."""
    width, height = plan.story.video_settings.size
    settings = plan.story.video_settings
    overrides = {
        "steps": settings.sample_steps,
        "cfg": settings.cfg,
        "negative_prompt": settings.negative_prompt,
    }
    return {
        **plan.profile.clip_settings,
        **{name: value for name, value in overrides.items() if value is not None},
        "prompt": scene.video_prompt,
        "audio": plan.files[scene.id].audio,
        "width": width,
        "height": height,
        "seed": plan.story.seed_of(scene),
    }


def warnings(plan: Plan) -> list[str]:
    """The settings of a story that have no effect, one sentence each."""
    sentences = []
    for kind, settings, recipe, defaults in (
        ("image_settings", plan.story.image_settings, plan.profile.still, plan.profile.still_settings),
        ("video_settings", plan.story.video_settings, plan.profile.clip, plan.profile.clip_settings),
    ):
        for name in sorted(settings.model_fields_set - {"workflow", "resolution"}):
            if _parameter(name) not in recipe.parameters and getattr(settings, name) is not None:
                sentences.append(
                    f"{kind}.{name} has no effect: the profile {plan.story.profile!r} does not use it."
                )
        cfg = settings.cfg if settings.cfg is not None else defaults.get("cfg")
        if "negative_prompt" in recipe.parameters and settings.negative_prompt and cfg == 1:
            sentences.append(f"{kind}.negative_prompt has no effect at cfg 1: raise cfg, or leave it out.")
    return sentences


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
        owner, file = Owner("still", scene_id), plan.files[scene.id].image
        if file:
            image = graph.add(owner, "image", "LoadImage", image=file)
        else:
            image = graph.add_recipe(owner, plan.profile.still, still_values(plan, scene))
        name = f"{plan.story.project_id}_{scene.id}"
        still = graph.add(
            owner, "still", "StoryStudio_Still", image=image, name=name, after=still, take=scene.still_take
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
            width=plan.story.video_settings.size[0],
            height=plan.story.video_settings.size[1],
        )
        graph.films[number] = end.node
    return after


def _literal(text: str) -> str:
    """Escapes parentheses, which CLIPTextEncode would interpret as weights, as in (words:1.5)."""
    return text.replace("(", "\\(").replace(")", "\\)")


def _value_input(inputs: dict[str, Any]) -> str:
    """The input of a parameter node that holds its value: the first one in stock primitives and loaders."""
    return next(iter(inputs), "value")
