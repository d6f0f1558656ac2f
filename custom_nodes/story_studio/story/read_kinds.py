"""The kinds of scenes, read from an API workflow: what a clip is made by says what kind of scene it is."""

from __future__ import annotations

from typing import Any, NamedTuple

from .check_graph import ANIMATIC
from .classes import LOAD_AUDIO, LOAD_IMAGE, LOAD_VIDEO
from .clip_graph import JOIN_VIDEOS, OWN_CLIP, SILENCE, TRIM, VIDEO_FRAME
from .keys import PRIMITIVES, class_of
from .recipes import FOLDER, Profile, Recipe, load_recipe
from .scene_prompt import NODE as SCENE_PROMPT
from .scenes import Workflow, is_not_still, source_of

_AROUND = frozenset(
    (OWN_CLIP, JOIN_VIDEOS, VIDEO_FRAME, SILENCE, TRIM, SCENE_PROMPT, *PRIMITIVES)
    + (LOAD_AUDIO, LOAD_IMAGE, "SaveVideo", "StoryStudio_Clip", "StoryStudio_Still")
)
"""What stands around a recipe, or makes nothing in it."""


class Maker(NamedTuple):
    """What makes a scene's clip.

    Attributes:
        classes: of the nodes, without those that load files or pass on.
        draft: whether an Animatic among them makes a draft; None without one.
        silence: the inputs of the silence that stands for a voice; None if there is none.
        own: the inputs of the node that trims the author's own clip; None if it is made here.
        file: the author's own clip, as a name in ComfyUI's input folder.
    """

    classes: frozenset[str]
    draft: bool | None = None
    silence: dict[str, Any] | None = None
    own: dict[str, Any] | None = None
    file: str = ""

    @property
    def is_moving(self) -> bool:
        """Whether it is a kind that moves no lips under every profile."""
        return self.own is not None or self.silence is not None or self.draft is False

    @property
    def is_checked(self) -> bool:
        """Whether a story has its clip checked by default: if it is made by a model."""
        return self.own is None and self.draft is None and bool(self.classes)

    def is_by(self, recipe: Recipe) -> bool:
        """Whether a recipe has made the clip."""
        return self.own is None and (self.classes, self.draft) == _made_by(recipe)


def maker_of(workflow: Workflow, clip: str | None) -> Maker:
    """What makes a clip."""
    if clip is None:
        return Maker(frozenset())
    above = [node for _, node in workflow.upstream(clip, through=is_not_still)]
    for node in above:
        if node["class_type"] == OWN_CLIP:
            source = workflow.nodes.get(source_of(node["inputs"].get("video")) or "")
            if source and source["class_type"] == LOAD_VIDEO:
                file = workflow.constant(source["inputs"].get("file"))
                return Maker(frozenset(), own=node["inputs"], file=str(file or ""))
    silence = next((node["inputs"] for node in above if node["class_type"] == SILENCE), None)
    animatics = [node["inputs"] for node in above if node["class_type"] == ANIMATIC]
    draft = workflow.constant(animatics[0].get("draft")) is not False if animatics else None
    classes = frozenset(map(class_of, above)) - _AROUND
    return Maker(classes, draft, silence)


def scene_kind(workflow: Workflow, maker: Maker, profile: Profile) -> dict[str, Any]:
    """The fields of a scene that its kind has, of a story with this profile."""
    if maker.own is not None:
        start, end, mute = (workflow.constant(maker.own.get(name)) for name in ("start", "end", "mute"))
        trims = {"from": start, "to": end, "mute": mute}
        return {name: value for name, value in ({"clip": maker.file} | trims).items() if value}
    if maker.silence is not None:
        return {"seconds": workflow.number(maker.silence.get("duration"))}
    if maker.is_by(profile.clip) or not maker.classes:
        return {}
    return {"kind": "narrated"} if maker.draft is False or _recipe_of(maker, profile) else {}


def narrated_workflow(makers: list[Maker], profile: Profile) -> str | None:
    """The shipped recipe that makes narrated and silent scenes; None for the profile's."""
    for maker in makers:
        if maker.classes and not maker.is_by(profile.clip) and (recipe := _recipe_of(maker, profile)):
            return recipe if recipe != "narrated" else None
    return None


def _recipe_of(maker: Maker, profile: Profile) -> str:
    """The recipe of narrated scenes that made a clip: the profile's, or the file of a shipped one."""
    if maker.is_by(profile.narrated):
        return "narrated"
    names = (path.name for path in sorted(FOLDER.glob("*_clip.json")))
    return next((name for name in names if maker.is_by(load_recipe(FOLDER / name, "clip"))), "")


def _made_by(recipe: Recipe) -> tuple[frozenset[str], bool | None]:
    nodes = [recipe.nodes[node_id] for node_id in recipe.ordered()]
    drafts = [node["inputs"].get("draft", True) for node in nodes if node["class_type"] == ANIMATIC]
    classes = frozenset(map(class_of, nodes)) - _AROUND
    return classes, drafts[0] is not False if drafts else None
