"""Stills in a graph: those of scenes, and before them the character sheets that they are made from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .api_graph import CharacterId, Graph, Owner, SceneId
from .classes import LOAD_IMAGE, STORYBOARD
from .clip_graph import VIDEO_FRAME, add_own_clip
from .loras import with_loras
from .plan import Plan
from .recipes import Link, Recipe
from .references import REFERENCES, most_references, without_references
from .results import Kind
from .scene import Scene
from .schema import Story
from .settings import Lora

SHEET_PROMPT = (
    "Full-length portrait of {}, alone, the whole figure and the face seen from the front, standing, looking "
    "into the camera, even light, plain light grey background"
)
"""The prompt of a character sheet, without the description and the style."""
_SHEET_SHAPE = 3 / 4
_SIDES = 16
"""Sides of a still are a multiple of this."""


def still_size(story: Story) -> tuple[int, int]:
    """Width and height of a story's stills: as specified, or the largest that clips use without cropping."""
    width, height = (side // 64 * 64 for side in story.frame_size)
    return story.image_settings.width or min(width, 2048), story.image_settings.height or min(height, 2048)


def still_recipe(plan: Plan, scene: Scene) -> Recipe:
    """The recipe of a scene's still: the profile's, or that which takes references if it shows somebody."""
    reference = plan.profile.reference
    return reference if reference and shown_by_reference(plan, scene) else plan.profile.still


def still_values(plan: Plan, scene: Scene) -> dict[str, Any]:
    """The recipe parameters of a scene's still, except for its references; what the story leaves out comes
    from the profile."""
    width, height = still_size(plan.story)
    of_profile = plan.profile.still_settings if still_recipe(plan, scene) is plan.profile.still else {}
    return {
        **of_profile,
        **_overrides(plan.story),
        "prompt": plan.story.prompt_of(scene),
        "subject": plan.story.subject_of(scene),
        "heading": scene.title or plan.story.name_of(scene.character) or scene.id.replace("_", " "),
        "width": width,
        "height": height,
        "seed": plan.story.seed_of(scene),
    }


def still_loras(plan: Plan, scene: Scene) -> list[Lora]:
    """The LoRAs of a scene's still: the story's, and those of the characters that it shows."""
    return _loras(plan.story, plan.story.characters_of(scene))


def sheet_values(plan: Plan, key: str) -> dict[str, Any]:
    """The recipe parameters of a character sheet: a still in portrait, of as many pixels as the others."""
    story = plan.story
    character = story.characters[key]
    width, height = still_size(story)
    width, height = (_side((width * height * shape) ** 0.5) for shape in (_SHEET_SHAPE, 1 / _SHEET_SHAPE))
    description = character.description.rstrip(". ,") or story.name_of(key)
    return {
        **plan.profile.still_settings,
        **_overrides(story),
        "prompt": ", ".join(filter(None, (SHEET_PROMPT.format(description), story.style))),
        "subject": description,
        "heading": story.name_of(key),
        "width": width,
        "height": height,
        "seed": story.sheet_seed(key),
    }


def shown_by_reference(plan: Plan, scene: Scene) -> list[str]:
    """The characters whose reference images a scene's still is made from, in the order of the recipe's."""
    recipe = plan.profile.reference
    if recipe is None or scene.image or scene.kind_of == "clip":
        return []
    keys = [key for key in plan.story.characters_of(scene) if _has_reference(plan, key)]
    return keys[: most_references(recipe)]


def sheets_of(plan: Plan, every: bool = False) -> list[str]:
    """The characters of which a sheet is made: those that a still needs, or all that have no own image."""
    keys = [key for scene in plan.story.scenes for key in shown_by_reference(plan, scene)]
    wanted = (key for key in plan.story.characters if _has_reference(plan, key)) if every else keys
    return [key for key in dict.fromkeys(wanted) if own_reference(plan, key) is None]


def scenes_with_sheet(plan: Plan, key: str) -> list[Scene]:
    """The scenes whose stills are made from a character's sheet."""
    return [scene for scene in plan.story.scenes if key in shown_by_reference(plan, scene)]


def own_reference(plan: Plan, key: str) -> str | None:
    """The character's own reference image; None if it has none, so a sheet stands for it."""
    return plan.references.get(key) or plan.story.characters[key].reference


def add_sheets(
    graph: Graph, number: int, plan: Plan, without: Collection[SceneId], every: bool = False
) -> Link | None:
    """Adds the character sheets of a story, one after the other; returns the last one."""
    sheet: Link | None = None
    for key in sheets_of(plan, every):
        sheet_id = CharacterId(number, key)
        if sheet_id.owner in without:
            continue
        owner = Owner("still", sheet_id.owner)
        recipe = with_loras(plan.profile.still, _loras(plan.story, [key]))
        image = graph.add_recipe(owner, recipe, sheet_values(plan, key))
        sheet = graph.add(
            owner,
            "sheet",
            Kind.STILL.node,
            image=image,
            name=f"{plan.story.project_id}_{key}_sheet",
            after=sheet,
            take=plan.story.characters[key].reference_take,
        )
        graph.characters[sheet_id] = sheet.node
    return sheet


def add_stills(
    graph: Graph, number: int, plan: Plan, without: Collection[SceneId], after: Link | None
) -> Link | None:
    """Adds the stills of a story and its contact sheet; returns that, or None without scenes."""
    scenes = [scene for scene in plan.story.scenes if SceneId(number, scene.id) not in without]
    still = add_sheets(graph, number, plan, without)
    board: Link | None = None
    waiting = list(scenes)
    # Those of one recipe follow each other, so that its models are loaded once.
    for scene in sorted(scenes, key=lambda scene: bool(shown_by_reference(plan, scene))):
        still = _add_still(graph, SceneId(number, scene.id), plan, scene, still)
        while waiting and (scene_id := SceneId(number, waiting[0].id)) in graph.stills:
            board = _add_panel(graph, scene_id, plan, waiting.pop(0), board)
    if board is None:
        return None
    sheet = graph.add(
        Owner("still", None),
        "contact sheet",
        Kind.SHEET.node,
        storyboard=board,
        title=plan.story.title or plan.story.project_id,
        name=plan.story.project_id,
        after=after,
    )
    graph.sheets[number] = sheet.node
    return sheet


def _add_still(graph: Graph, scene_id: SceneId, plan: Plan, scene: Scene, after: Link | None) -> Link:
    owner = Owner("still", scene_id)
    still = graph.add(
        owner,
        "still",
        Kind.STILL.node,
        image=_add_image(graph, owner, scene_id.story, plan, scene),
        name=f"{plan.story.project_id}_{scene.id}",
        after=after,
        take=scene.still_take,
    )
    graph.stills[scene_id] = still.node
    return still


def _add_image(graph: Graph, owner: Owner, number: int, plan: Plan, scene: Scene) -> Link:
    if file := plan.files[scene.id].image:
        return graph.add(owner, "image", LOAD_IMAGE, image=file)
    if scene.kind_of == "clip":
        own = add_own_clip(graph, owner, plan, scene)
        return graph.add(owner, "frame", VIDEO_FRAME, video=own, position="middle")
    keys = shown_by_reference(plan, scene)
    recipe = with_loras(still_recipe(plan, scene), still_loras(plan, scene))
    links = [_reference(graph, CharacterId(number, key), plan) for key in keys]
    values = still_values(plan, scene) | dict(zip(REFERENCES, links, strict=False))
    if keys:
        recipe = without_references(recipe, [name for name in REFERENCES if name not in values])
    return graph.add_recipe(owner, recipe, values)


def _reference(graph: Graph, sheet_id: CharacterId, plan: Plan) -> Link:
    """The character's own image, or its sheet, which is in the graph."""
    if file := own_reference(plan, sheet_id.character):
        return graph.add(Owner("still", sheet_id.owner), "reference", LOAD_IMAGE, image=file)
    return Link(graph.characters[sheet_id])


def _add_panel(graph: Graph, scene_id: SceneId, plan: Plan, scene: Scene, board: Link | None) -> Link:
    return graph.add(
        Owner("still", scene_id),
        "storyboard",
        STORYBOARD,
        storyboard=board,
        still=Link(graph.stills[scene_id]),
        name=scene.title or scene.id,
        prompt=plan.story.subject_of(scene),
    )


def _has_reference(plan: Plan, key: str) -> bool:
    character = plan.story.characters[key]
    return bool(own_reference(plan, key) or character.reference_take or character.description)


def _loras(story: Story, keys: Sequence[str]) -> list[Lora]:
    return [*story.image_settings.loras, *(lora for key in keys for lora in story.characters[key].loras)]


def _overrides(story: Story) -> dict[str, Any]:
    settings = story.image_settings
    values = {"steps": settings.steps, "cfg": settings.cfg, "negative_prompt": settings.negative_prompt}
    return {name: value for name, value in values.items() if value is not None}


def _side(pixels: float) -> int:
    return min(max(round(pixels / _SIDES) * _SIDES, 64), 2048)
