"""The voices of an API workflow's scenes: which recording each clip speaks, and where it is linked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .check_graph import ANIMATIC
from .classes import FILM_SCENE, LOAD_AUDIO, LOADERS
from .needed import TALKING_VIDEO
from .recipes import Nodes, is_link
from .results import Kind
from .scenes import Workflow, is_not_still, source_of

AUDIO = LOADERS[LOAD_AUDIO]
"""The input of a loader that names its file, and of a node that speaks it."""
_SPEAKERS = (TALKING_VIDEO, ANIMATIC)
"""Nodes that have an input for a voice, whether or not one is linked."""
_PAUSE = "pause_after"


@dataclass(frozen=True)
class Voice:
    """The voice of a clip.

    Attributes:
        speaker: the node that the voice is linked to, at its input `audio`.
        source: the node that is linked there; None without one.
        loader: the nearest loader of a recording behind it; None if it does not come from a file.
        name: the file, as the loader names it.
        others: other clips that speak the same loader's recording.
        film_scene: the clip's place in a film; None outside of one.
        pause: seconds after the clip in that place; None where it is the film's setting, or linked.
    """

    speaker: str
    source: str | None
    loader: str | None
    name: str
    others: list[str]
    film_scene: str | None
    pause: float | None


def voices_of(nodes: Nodes) -> dict[str, Voice]:
    """The voices of the clips that have one, or could have one, by the clips' ids.

    Raises:
        Problems: the workflow is too large.
    """
    workflow = Workflow(nodes)
    speakers = {clip: _speaker_of(workflow, clip) for clip in workflow.of_class(Kind.CLIP.node)}
    spoken = {clip: nodes[speaker]["inputs"].get(AUDIO) for clip, speaker in speakers.items() if speaker}
    loaders = {clip: workflow.nearest(audio, LOAD_AUDIO) for clip, audio in spoken.items()}
    places = {
        workflow.nearest(nodes[place]["inputs"].get("clip"), Kind.CLIP.node): place
        for place in workflow.of_class(FILM_SCENE)
    }
    return {
        clip: Voice(
            speaker=speakers[clip] or "",
            source=source_of(audio),
            loader=loaders[clip],
            name=_name_of(workflow, loaders[clip]),
            others=_others(loaders, clip),
            film_scene=places.get(clip),
            pause=_pause_of(workflow, places.get(clip)),
        )
        for clip, audio in spoken.items()
    }


def _speaker_of(workflow: Workflow, clip: str) -> str | None:
    def speaks(node: Any) -> bool:
        return is_link(node["inputs"].get(AUDIO)) or node["class_type"] in _SPEAKERS

    return workflow.find(clip, speaks, through=is_not_still)


def _others(loaders: dict[str, str | None], clip: str) -> list[str]:
    loader = loaders[clip]
    return [other for other in loaders if other != clip and loaders[other] == loader] if loader else []


def _name_of(workflow: Workflow, loader: str | None) -> str:
    name = workflow.constant(workflow.nodes[loader]["inputs"].get(AUDIO)) if loader else ""
    return name if isinstance(name, str) else ""


def _pause_of(workflow: Workflow, place: str | None) -> float | None:
    pause = workflow.number(workflow.nodes[place]["inputs"].get(_PAUSE)) if place else None
    # A pause below zero is the film's.
    return None if pause is None or pause < 0 else pause
