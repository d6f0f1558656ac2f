"""One ComfyUI graph for stories: all stills, then all clips, then the films; identical nodes are merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from .advice import advice
from .api_graph import CharacterId, Graph, Owner, Phase, SceneId
from .character_warnings import character_warnings
from .check_graph import add_clip, retakes_of
from .clip_graph import Stage, clip_values, recipe_of, stage_of
from .film_graph import add_film
from .plan import Files, Plan, plan_of
from .recipes import Link
from .still_graph import add_sheets, add_stills, still_size, still_values

__all__ = [
    "CharacterId",
    "Files",
    "Graph",
    "Owner",
    "Phase",
    "Plan",
    "SceneId",
    "build",
    "clip_values",
    "plan_of",
    "still_size",
    "still_values",
    "warnings",
]


def build(
    plans: Sequence[Plan], without: frozenset[SceneId] = frozenset(), only_sheets: bool = False
) -> Graph:
    """The graph of several stories without some scenes; a story without scenes adds nothing.

    Args:
        plans: the stories.
        without: scenes that are left out, and characters, by the `owner` of their ids.
        only_sheets: nothing but a character sheet for every character that has no own image.
    """
    graph = Graph()
    if only_sheets:
        for number, plan in enumerate(plans):
            add_sheets(graph, number, plan, without, every=True)
        return graph
    last: Link | None = None
    for number, plan in enumerate(plans):
        last = add_stills(graph, number, plan, without, last) or last
    for stage in get_args(Stage):
        for number, plan in enumerate(plans):
            if plan.clips:
                last = _add_clips(graph, number, plan, without, stage, last) or last
    for number, plan in enumerate(plans):
        if plan.clips:
            add_film(graph, number, plan)
    return graph


def warnings(plan: Plan) -> list[str]:
    """What in a story has no effect, or is likely to go wrong, one sentence each."""
    sentences = []
    clips = [recipe for scene in plan.story.scenes if (recipe := recipe_of(plan, scene))]
    moving = {name for recipe in clips or [plan.profile.clip] for name in recipe.parameters}
    still, clip = plan.profile.still, plan.profile.clip
    for kind, settings, recipe, used, defaults in (
        ("image_settings", plan.story.image_settings, still, still.parameters, plan.profile.still_settings),
        ("video_settings", plan.story.video_settings, clip, moving, plan.profile.clip_settings),
    ):
        for name in sorted(settings.model_fields_set - _NOT_PARAMETERS):
            if _parameter(name) not in used and getattr(settings, name) is not None:
                sentences.append(
                    f"{kind}.{name} has no effect: the profile {plan.story.profile!r} does not use it."
                )
        cfg = settings.cfg if settings.cfg is not None else defaults.get("cfg")
        if "negative_prompt" in recipe.parameters and settings.negative_prompt and cfg == 1:
            sentences.append(f"{kind}.negative_prompt has no effect at cfg 1: raise cfg, or leave it out.")
    if plan.story.quality.retakes and not any(retakes_of(plan, scene) for scene in plan.story.scenes):
        sentences.append(
            "quality.retakes has no effect: no clip is made by a model that takes a seed. Drafts, camera "
            "moves, own clips and chosen takes are not made again."
        )
    return [*sentences, *character_warnings(plan), *advice(plan)]


_NOT_PARAMETERS = {"workflow", "resolution", "loras", "reference_workflow", "narrated_workflow"}


def _parameter(setting: str) -> str:
    return "steps" if setting == "sample_steps" else setting


def _add_clips(
    graph: Graph,
    number: int,
    plan: Plan,
    without: frozenset[SceneId],
    stage: Stage,
    after: Link | None,
) -> Link | None:
    for scene in plan.story.scenes:
        scene_id = SceneId(number, scene.id)
        if scene_id in without or stage_of(plan, scene) != stage:
            continue
        after = add_clip(graph, scene_id, plan, scene, after)
    return after
