"""The first seconds of a clip as a workflow of their own: a cheap look before the whole clip is rendered."""

from __future__ import annotations

from typing import Any, NamedTuple

from .classes import LOAD_AUDIO, LOAD_VIDEO
from .clip_graph import JOIN_VIDEOS, OWN_CLIP, SILENCE, TRIM
from .keys import ORDER
from .problems import Problem, Problems
from .recipes import Nodes, is_link
from .results import Kind

NODE = "first_seconds"
"""The id of the node that keeps them: none on the canvas, so nothing takes them for the clip."""
_TRIMMED = "first_seconds_of_"
"""Before the id of a sound: the node that shortens it."""
_SOUNDS = frozenset((LOAD_AUDIO, SILENCE))


class FirstSeconds(NamedTuple):
    """An API workflow that makes the first seconds of a clip.

    Attributes:
        prompt: the workflow; it has nothing that the clip is not made from.
        node: the Clip in it.
    """

    prompt: Nodes
    node: str


def first_seconds(nodes: Nodes, clip: str, seconds: float) -> FirstSeconds:
    """The first seconds of a clip, in a file that no search by the clip's name or key finds.

    Args:
        nodes: an API workflow; it is not changed.
        clip: the id of the Clip in it.
        seconds: how many; of a clip that is made in segments the first segment, if that is shorter.

    Raises:
        Problems: the clip cannot be shortened.
    """
    node = nodes.get(clip)
    if node is None or node["class_type"] != Kind.CLIP.node:
        raise Problems([Problem("", f"There is no clip {clip} in the workflow.")])
    name = node["inputs"].get("name")
    kept = {
        "video": node["inputs"].get("video"),
        "name": f"first-seconds-of-{name if _is_name(name) else clip}",
    }
    found: Nodes = {NODE: {"class_type": Kind.CLIP.node, "inputs": kept}}
    waiting, joined = [NODE], False
    while waiting:
        inputs = found[waiting.pop()]["inputs"]
        for entry, value in list(inputs.items()):
            if entry == ORDER:
                del inputs[entry]
                continue
            if not is_link(value):
                continue
            first = _first_segment(nodes, value)
            joined |= first != value
            inputs[entry] = _shortened(nodes, found, first, seconds)
            source = first[0]
            if source not in found and source in nodes:
                found[source] = {**nodes[source], "inputs": dict(nodes[source]["inputs"])}
                waiting.append(source)
    trims = any(node_id.startswith(_TRIMMED) for node_id in found)
    if not (trims or joined) or _is_own(found):
        what = str(name) if _is_name(name) else "The clip"
        raise Problems(
            [Problem(what, "has no voice or segment that makes it shorter: render the clip itself.")]
        )
    return FirstSeconds(found, NODE)


def _first_segment(nodes: Nodes, link: list[Any]) -> list[Any]:
    """What a link leads to; of videos that are joined, the first."""
    passed: set[str] = set()
    while (node := nodes.get(link[0])) and node["class_type"] == JOIN_VIDEOS and link[0] not in passed:
        passed.add(link[0])
        if not is_link(node["inputs"].get("video")):
            break
        link = node["inputs"]["video"]
    return link


def _shortened(nodes: Nodes, found: Nodes, link: list[Any], seconds: float) -> list[Any]:
    """The link, through a node that cuts the sound off if it comes from one; the node is added to `found`."""
    source = nodes.get(link[0])
    if source is None or source["class_type"] not in _SOUNDS:
        return link
    trim = f"{_TRIMMED}{link[0]}"
    inputs = {"audio": link, "start_index": 0.0, "duration": seconds}
    found[trim] = {"class_type": TRIM, "inputs": inputs}
    return [trim, 0]


def _is_own(found: Nodes) -> bool:
    """Whether the clip is a video of its author's, of which nothing is rendered."""
    video = found[NODE]["inputs"].get("video")
    node = found.get(video[0]) if is_link(video) else None
    if node is None or node["class_type"] != OWN_CLIP:
        return False
    source = node["inputs"].get("video")
    return is_link(source) and found.get(source[0], {}).get("class_type") == LOAD_VIDEO


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
