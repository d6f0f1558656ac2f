"""What of an API workflow ComfyUI has to run: what finished stills and clips are made from is left out.

Pure functions over plain data: the caller says which results exist.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .keys import ORDER, PASSING, Node, constant
from .memory import Phase
from .model_files import named_files
from .recipes import is_link
from .results import RETAKE, Kind
from .word_times import AUDIO_ENCODER, WORD_TIMES

TALKING_VIDEO = "StoryStudio_TalkingVideo"
TALKING_VIDEO_MODELS = ("model", "positive", "negative", "vae", "audio_encoder")
"""The inputs of a Talking Video that it requests when all others are there."""
TEXT_ENCODERS = {"StoryStudio_TextEncoder": "clip_name", "StoryStudio_S2VModels": "text_encoder"}
"""The nodes whose CLIP encodes ahead, and the inputs that name the file of its weights."""
_ENCODE = "CLIPTextEncode"


@dataclass
class Needed:
    """The nodes that a workflow has to run.

    Attributes:
        nodes: their ids, by phase. Nodes that are upstream of neither a still nor a clip count as a still's.
    """

    nodes: dict[Phase, set[str]] = field(default_factory=lambda: {"still": set(), "clip": set()})

    def files(self, get_node: Callable[[str], Node]) -> set[tuple[Phase, str, str]]:
        """The model files that the nodes name: phase, folder below `models`, and name."""
        return {
            (phase, folder, file)
            for phase, node_ids in self.nodes.items()
            for node_id in node_ids
            for folder, file in named_files(get_node(node_id))
        }

    def prompts(self, get_node: Callable[[str], Node]) -> dict[str, list[str]]:
        """The texts that are to be encoded, by the file of the text encoder, each once.

        A text that is computed is left out: it is encoded when it is known.
        """
        found: dict[str, dict[str, None]] = {}
        needed = self.nodes["still"] | self.nodes["clip"]
        for node_id in sorted(needed, key=_by_number):
            inputs = get_node(node_id)["inputs"]
            link = inputs.get("clip")
            if get_node(node_id)["class_type"] != _ENCODE or not is_link(link) or link[0] not in needed:
                continue
            encoder = get_node(link[0])
            file = encoder["inputs"].get(TEXT_ENCODERS.get(encoder["class_type"], ""))
            text = constant(get_node, inputs.get("text"))
            if isinstance(file, str) and isinstance(text, str):
                found.setdefault(file, {})[text] = None
        return {file: list(texts) for file, texts in found.items()}


def needed_nodes(
    node_ids: Collection[str], get_node: Callable[[str], Node], finished: Collection[str]
) -> Needed:
    """The nodes that have to run.

    Args:
        node_ids: all nodes of the workflow.
        get_node: a node by its id.
        finished: the Stills, Clips, Retakes and Masters whose results exist.
    """
    linked = {value[0] for node_id in node_ids for value in _links(get_node(node_id)).values()}
    # What saves a result runs also if nothing needs it, or only something that is finished.
    waiting: list[tuple[str, Phase]] = [
        (node_id, "still")
        for node_id in node_ids
        if node_id not in linked or get_node(node_id)["class_type"] in _SAVERS
    ]
    needed = Needed()
    while waiting:
        node_id, phase = waiting.pop()
        node = get_node(node_id)
        cls = node["class_type"]
        phase = _PHASES.get(cls, phase)
        if node_id in needed.nodes[phase]:
            continue
        needed.nodes[phase].add(node_id)
        passed = PASSING.get(cls)
        skipped = passed if passed and node_id in finished else None
        if cls == Kind.MASTER.node and node_id in finished:
            continue
        if cls == WORD_TIMES:
            # It takes the encoder from a loader that has run, and runs none.
            skipped = AUDIO_ENCODER
        for name, value in _links(node).items():
            # A link to a node that does not exist is in a branch that ComfyUI does not run.
            if name != skipped and value[0] in node_ids:
                # What a node only waits for is of any phase; an image comes before the models, Still or not.
                is_earlier = name == ORDER or (cls == TALKING_VIDEO and name not in TALKING_VIDEO_MODELS)
                waiting.append((value[0], "still" if is_earlier else phase))
    return needed


_SAVERS = frozenset(kind.node for kind in Kind)
_PHASES: Mapping[str, Phase] = {
    Kind.STILL.node: "still",
    Kind.CLIP.node: "clip",
    Kind.MASTER.node: "clip",
    RETAKE: "clip",
    TALKING_VIDEO: "clip",
}


def _links(node: Node) -> dict[str, Any]:
    return {name: value for name, value in node["inputs"].items() if is_link(value)}


def _by_number(node_id: str) -> tuple[int, str]:
    return (int(node_id) if node_id.isdecimal() else 0, node_id)
