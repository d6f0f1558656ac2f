"""The profile and settings of a story, read from an API workflow: those that the profile lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from . import graph
from .keys import PRIMITIVES, RETAKES, class_of
from .model_files import folder_of
from .recipes import Nodes, Profile, Recipe, is_link, load_profile, profile_names
from .results import Kind
from .scene_prompt import NODE as SCENE_PROMPT
from .scenes import Workflow
from .schema import ImageSettings, Story, VideoSettings

_RESOLUTIONS = {"832x480": "480p", "1280x720": "720p"}


def nearest_profile(workflow: Workflow, kinds: Sequence[Literal["still", "clip"]]) -> tuple[str, bool]:
    """The profile that a workflow differs least from, and whether the workflow has all that it is made of.

    Classes and names, such as those of models, count more than numbers. Of two profiles that are equally
    near, the better one is chosen.

    Args:
        workflow: the workflow.
        kinds: what it makes with recipes.
    """
    names, numbers = _traits(workflow)
    distances = {}
    for order, profile in enumerate(profile_names()):
        wanted = [_traits(_rendered(load_profile(profile), kind)) for kind in kinds]
        missing_names = sum(len(traits[0] - names) for traits in wanted)
        missing_numbers = [place for traits in wanted for place in traits[1] - numbers]
        # A story can set these.
        fixed = [place for place in missing_numbers if place[1] not in ("steps", "cfg")]
        distances[profile] = (missing_names, len(missing_numbers), -order), not (missing_names or fixed)
    nearest = min(distances, key=lambda profile: distances[profile][0])
    return nearest, distances[nearest][1]


def image_settings(
    workflow: Workflow, profile: Profile, still: str | None, resolution: str | None
) -> dict[str, Any]:
    """The settings of a still, of a story whose clips have this resolution."""
    size = workflow.inputs_above(still, "width", "height")
    sampler = workflow.inputs_above(still, "steps", "cfg")
    found: dict[str, Any] = {}
    for name, default in zip(("width", "height"), _still_size(resolution), strict=True):
        found[name] = _unless(workflow.number(size.get(name)), default)
    return _set(found | _sampling(workflow, sampler, profile.still, profile.still_settings))


def video_settings(workflow: Workflow, profile: Profile, video: dict[str, Any]) -> dict[str, Any]:
    """The settings of the node with these inputs, which makes a clip."""
    if (preset := workflow.constant(video.get("preset"))) in profile_names():
        # It overrules the node's own steps and cfg.
        video = video | load_profile(str(preset)).clip_settings
    width, height = (workflow.number(video.get(name)) for name in ("width", "height"))
    resolution = f"{width}x{height}" if width and height else None
    found = {"resolution": _RESOLUTIONS.get(resolution or "", resolution)}
    found["resolution"] = _unless(found["resolution"], VideoSettings().resolution)
    sampling = _sampling(workflow, video, profile.clip, profile.clip_settings)
    return _set(found | {"sample_steps": sampling.pop("steps")} | sampling)


def quality(workflow: Workflow, makes_clips: bool) -> dict[str, Any]:
    """Whether clips are checked and how often they may be made again; `makes_clips`: whether any is checked
    by default."""
    checks = [workflow.nodes[node]["inputs"] for node in workflow.of_class(Kind.CHECK.node)]
    retakes = max((sum(is_link(check.get(name)) for name in RETAKES) for check in checks), default=0)
    found = {"check": False if makes_clips and not checks else None, "retakes": retakes or None}
    return _set(found)


def _still_size(resolution: str | None) -> tuple[int, int] | tuple[None, None]:
    """Width and height that stills have by default; None for a resolution that a story cannot have."""
    video = VideoSettings()
    video.resolution = resolution or video.resolution
    try:
        return graph.still_size(Story.model_construct(image_settings=ImageSettings(), video_settings=video))
    except ValueError:
        return None, None


def _sampling(
    workflow: Workflow, inputs: dict[str, Any], recipe: Recipe, settings: dict[str, Any]
) -> dict[str, Any]:
    """Steps, guidance and negative prompt; None for what the profile gives, or what has no effect."""
    default = {
        name: next(iter(recipe.nodes[node]["inputs"].values()), None)
        for name, node in recipe.parameters.items()
    }
    default |= settings
    steps, cfg = (workflow.number(inputs.get(name)) for name in ("steps", "cfg"))
    negative = workflow.prompt(inputs.get("negative"), skip=("positive",))
    is_guided = cfg is not None and cfg > 1
    return {
        "steps": _unless(steps, default.get("steps")),
        "cfg": _unless(cfg, default.get("cfg")) if is_guided or "cfg" in default else None,
        "negative_prompt": _unless(negative, default.get("negative_prompt", ""))
        if is_guided or "negative_prompt" in default
        else None,
    }


def _rendered(profile: Profile, kind: Literal["still", "clip"]) -> Workflow:
    """A profile's recipe with the profile's settings, without the values that differ from scene to scene."""
    recipe, settings = (
        (profile.still, profile.still_settings) if kind == "still" else (profile.clip, profile.clip_settings)
    )
    names = {node: name for name, node in recipe.parameters.items()}
    nodes: Nodes = {}
    for node_id in recipe.ordered():
        inputs = recipe.nodes[node_id]["inputs"]
        value = settings.get(names.get(node_id, ""), {})
        if node_id in names and len(inputs) == 1 and value == {}:
            continue
        inputs = inputs | (value if isinstance(value, dict) else {next(iter(inputs)): value})
        nodes[node_id] = recipe.nodes[node_id] | {"inputs": inputs}
    return Workflow(nodes)


def _traits(workflow: Workflow) -> tuple[set[tuple[str, ...]], set[tuple[str, str, float]]]:
    """The classes and names in a workflow, and its numbers with their places.

    A model file counts alike in every node that loads it; any other word counts only in its place, because
    the texts of a story may be words such as "none", which stands for no LoRA.
    """
    names: set[tuple[str, ...]] = set()
    numbers: set[tuple[str, str, float]] = set()
    for node in workflow.nodes.values():
        if node["class_type"] in (*PRIMITIVES, SCENE_PROMPT):
            continue
        cls = class_of(node)
        names.add((cls,))
        for name, value in node["inputs"].items():
            constant = workflow.constant(value)
            if isinstance(constant, str):
                folder = folder_of(name, cls)
                names.add((folder, constant) if folder else (cls, name, constant))
            elif constant is not None:
                numbers.add((cls, name, constant))
    return names, numbers


def _unless(value: Any, default: Any) -> Any:
    return None if value == default else value


def _set(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
