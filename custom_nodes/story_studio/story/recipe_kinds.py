"""The kinds of recipes: what each ends in, which parameters it takes, and where a story names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .links import linked, title_of

STILL, CLIP, FRAMES, VOICE = "still", "clip", "frames", "voice"
TALKING = "talking"
"""A clip recipe for scenes whose voice is seen to be spoken: one that takes the voice."""


class RecipeKind(NamedTuple):
    """A kind of recipe.

    Attributes:
        end: the title, without `$`, of the node at the end, whose one linked input is the result.
        setting: where a story names a recipe of this kind.
        required: of each group, a recipe has at least one parameter.
        why: what the required parameters are for.
        otherwise: what else can be done without them.
        recommended: parameters without which something of a story has no effect, and what that is.
        parameters: all parameters that a story can give a value to.
    """

    end: str
    setting: str
    required: tuple[tuple[str, ...], ...]
    why: str
    recommended: Mapping[str, str]
    parameters: tuple[str, ...]
    otherwise: str = ""


_SIZE = {
    "width": "the story's format and resolution",
    "height": "the story's format and resolution",
    "seed": "a story's or scene's seed",
}
_CLIP = RecipeKind(
    CLIP,
    "video_settings.workflow",
    (("image", "audio", "prompt"),),
    "without any of them all its clips are the same",
    {"image": "the still, and the character in it", **_SIZE},
    (
        *("image", "audio", "prompt", "negative_prompt", "width", "height", "length", "fps"),
        *("steps", "cfg", "seed", "models", "after", "audio_2", "mask", "mask_2"),
    ),
)
KINDS: Mapping[str, RecipeKind] = {
    STILL: RecipeKind(
        STILL,
        "image_settings.workflow",
        (("prompt", "subject", "heading"),),
        "without it the stills of all scenes are the same",
        _SIZE,
        (
            *("prompt", "negative_prompt", "subject", "heading", "width", "height", "steps", "cfg", "seed"),
            *("reference", "reference_2", "reference_3", "model"),
        ),
    ),
    CLIP: _CLIP,
    TALKING: _CLIP._replace(
        required=(("audio",),),
        why="a clip of a talking scene takes its voice",
        otherwise="name the recipe in video_settings.narrated_workflow",
    ),
    FRAMES: RecipeKind(
        FRAMES, "film.interpolation or film.upscale", (), "", {}, ("frames", "fps", "multiplier")
    ),
    VOICE: RecipeKind(
        "audio",
        "voice_settings.workflow",
        (("text",),),
        "without it the voice says the same in all scenes",
        {"voice": "a character's voice"},
        ("text", "voice", "language", "speed"),
    ),
}
"""The kinds by name; `talking` is a narrower kind of `clip`."""


def kind_of(nodes: Mapping[str, Mapping[str, object]]) -> str | None:
    """The kind of a recipe, by the title of its end; None if there is no end, or ends of several kinds."""
    titles = {title_of(node) for node in nodes.values() if linked(node)}
    found = [kind for kind in (STILL, CLIP, FRAMES) if f"${KINDS[kind].end}" in titles]
    if not found and f"${KINDS[VOICE].end}" in titles:
        found = [VOICE]
    return found[0] if len(found) == 1 else None
