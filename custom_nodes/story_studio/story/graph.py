"""One ComfyUI graph for stories: all stills, then all clips, then the films; identical nodes are merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from .api_graph import Graph, Owner, Phase, SceneId
from .clip_graph import VIDEO_FRAME, Stage, add_clip, add_own_clip, clip_values, stage_of
from .film_graph import add_film
from .plan import Files, Plan, plan_of
from .recipes import Link
from .schema import Scene, Story

__all__ = [
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


def build(plans: Sequence[Plan], without: frozenset[SceneId] = frozenset()) -> Graph:
    """The graph of several stories without some scenes; a story without scenes adds nothing."""
    graph = Graph()
    last: Link | None = None
    for number, plan in enumerate(plans):
        last = _add_stills(graph, number, plan, without, last) or last
    for stage in get_args(Stage):
        for number, plan in enumerate(plans):
            if plan.clips:
                last = _add_clips(graph, number, plan, without, stage, last) or last
    for number, plan in enumerate(plans):
        if plan.clips:
            add_film(graph, number, plan)
    return graph


def still_size(story: Story) -> tuple[int, int]:
    """Width and height of a story's stills: as specified, or the largest that clips use without cropping."""
    width, height = (side // 64 * 64 for side in story.frame_size)
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
        "heading": scene.title or plan.story.name_of(scene.character) or scene.id.replace("_", " "),
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
        elif scene.kind_of == "clip":
            own = add_own_clip(graph, owner, plan, scene)
            image = graph.add(owner, "frame", VIDEO_FRAME, video=own, position="middle")
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
        graph.clips[scene_id] = after.node
    return after
