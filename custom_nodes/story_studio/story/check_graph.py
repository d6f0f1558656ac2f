"""The clips of a graph with their checks, and the retakes of clips that fail."""

from __future__ import annotations

import hashlib

from .api_graph import Graph, Owner, SceneId
from .clip_graph import add_video, recipe_of
from .keys import RETAKES
from .part import MAX_SEED
from .pins import always_holds
from .plan import Plan
from .recipes import Link
from .results import RETAKE, Kind
from .scene import Scene

ANIMATIC = "StoryStudio_Animatic"


def retake_seed(seed: int, number: int) -> int:
    """The seed of a retake, counted from 1, of a clip with this seed: the same in every run."""
    digest = hashlib.sha256(f"retake {number} of {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & MAX_SEED


def is_checked(plan: Plan, scene: Scene) -> bool:
    """Whether a scene's clip is checked: a camera move over a still and an author's own clip are not."""
    recipe = recipe_of(plan, scene)
    return (
        plan.story.quality.check
        and recipe is not None
        and all(node["class_type"] != ANIMATIC for node in recipe.nodes.values())
    )


def retakes_of(plan: Plan, scene: Scene) -> int:
    """How often a scene's clip may be made again. A take that always holds stays, and so does a clip whose
    recipe takes no seed. Whether another take holds is known when the check runs, which then leaves it."""
    recipe = recipe_of(plan, scene)
    if always_holds(scene.clip_take) or not is_checked(plan, scene):
        return 0
    if recipe is None or "seed" not in recipe.parameters:
        return 0
    return plan.story.quality.retakes


def add_clip(graph: Graph, scene_id: SceneId, plan: Plan, scene: Scene, after: Link | None) -> Link:
    """Adds the clip of a scene with its check and retakes, and returns what the film shows."""
    owner, name = Owner("clip", scene_id), f"{plan.story.project_id}_{scene.id}"
    video = add_video(graph, scene_id, plan, scene, after)
    clip = graph.add(owner, "clip", Kind.CLIP.node, video=video, name=name, take=scene.clip_take)
    graph.clips[scene_id] = clip.node
    if not is_checked(plan, scene):
        return clip
    retakes: dict[str, Link] = {}
    for number, place in zip(range(1, retakes_of(plan, scene) + 1), RETAKES, strict=False):
        seed = retake_seed(plan.story.seed_of(scene), number)
        video = add_video(graph, scene_id, plan, scene, after, seed)
        retakes[place] = graph.add(owner, f"retake {number}", RETAKE, video=video, name=name)
    talking = scene.kind_of == "talking"
    still = graph.stills.get(scene_id) if talking else None
    check = graph.add(
        owner,
        "check",
        Kind.CHECK.node,
        clip=clip,
        name=name,
        talking=talking,
        # It is compared with the face of whoever speaks only.
        reference=Link(still) if still else None,
        **retakes,
    )
    graph.checks[scene_id] = check.node
    if retakes:
        graph.retakes[scene_id] = [retake.node for retake in retakes.values()]
    return graph.chosen_clip(scene_id)
