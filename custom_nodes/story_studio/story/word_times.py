"""The audio encoder that a scene's clip is made with, for the scene's Word Times. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .keys import ORDER, Node, constant
from .recipes import Link, is_link

WORD_TIMES = "StoryStudio_WordTimes"
AUDIO_ENCODER = "audio_encoder"
"""The input of a Word Times and of a Talking Video that the encoder comes by."""
_FILE_INPUTS = {
    ("StoryStudio_S2VModels", 3): "audio_encoder",
    ("AudioEncoderLoader", 0): "audio_encoder_name",
}
"""The outputs of loaders that are audio encoders, and the inputs that name their files."""


def encoder_of(nodes: Mapping[str, Node], node_id: str) -> Link | None:
    """The audio encoder that a node, or anything upstream of it, is linked to.

    Args:
        nodes: an API workflow, such as the nodes of a recipe or of a story's graph.
        node_id: for instance of the result of a clip's recipe.

    Returns:
        The output of the loader; None if nothing uses an audio encoder, as in a draft.
    """
    seen: set[str] = set()
    waiting = [node_id]
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        links = {name: value for name, value in nodes[current]["inputs"].items() if is_link(value)}
        if AUDIO_ENCODER in links:
            return Link(*links[AUDIO_ENCODER])
        # What a node only waits for may be the clip of another scene.
        waiting += [value[0] for name, value in links.items() if name != ORDER]
    return None


def encoder_file(get_node: Callable[[str], Node], value: Any) -> str | None:
    """The name of the file in `models/audio_encoders` behind a link to an audio encoder.

    None if the value is not a link, or leads to a node whose file is not known.
    """
    if not is_link(value):
        return None
    node = get_node(value[0])
    name = _FILE_INPUTS.get((node["class_type"], value[1]))
    file = constant(get_node, node["inputs"].get(name)) if name else None
    return file if isinstance(file, str) else None
