"""The takes of a scene in a graph: the clip that is made first, and those that may be made in its place."""

from __future__ import annotations

from story_studio.story.graph import Graph, SceneId
from story_studio.story.keys import RETAKES
from story_studio.story.recipes import is_link


def takes_of(graph: Graph, scene: SceneId) -> list[str]:
    """The nodes that keep the clips of a scene, in the order in which they are made; one without retakes."""
    return [graph.clips[scene], *graph.retakes.get(scene, [])]


def nodes_of_retakes(graph: Graph) -> dict[str, tuple[int, int]]:
    """The nodes that run for a retake alone: its number and how many there may be.

    The node that keeps it is none of them: it also runs to find what is there.
    """
    found: dict[str, tuple[int, int]] = {}
    for scene in graph.retakes:
        first, *retakes = takes_of(graph, scene)
        seen = _upstream(graph, first, scene)
        for number, node in enumerate(retakes, start=1):
            own = _upstream(graph, node, scene) - seen
            seen |= own
            found |= dict.fromkeys(own - {node}, (number, len(retakes)))
    return found


def leave_out_retakes(graph: Graph, scene: SceneId, count: int) -> None:
    """Leaves a scene the first `count` of its retakes."""
    if scene not in graph.retakes:
        return
    inputs = graph.nodes[graph.checks[scene]]["inputs"]
    for place in RETAKES[count:]:
        inputs.pop(place, None)
    del graph.retakes[scene][count:]
    if not count:
        del graph.retakes[scene]


def leave_out_check(graph: Graph, scene: SceneId) -> None:
    """Leaves out the check of a scene's clip and its retakes: the film shows the first take."""
    if scene not in graph.checks:
        return
    check, clip = graph.checks.pop(scene), graph.clips[scene]
    graph.retakes.pop(scene, None)
    del graph.nodes[check], graph.owners[check]
    for node in graph.nodes.values():
        node["inputs"] |= {
            name: [clip, 0] for name, value in node["inputs"].items() if is_link(value) and value[0] == check
        }


def _upstream(graph: Graph, node: str, scene: SceneId) -> set[str]:
    """The node, and those upstream of it that belong to the scene alone."""
    seen, waiting = {node}, [node]
    while waiting:
        for value in graph.nodes[waiting.pop()]["inputs"].values():
            if is_link(value) and value[0] not in seen and graph.owners[value[0]].scene == scene:
                seen.add(value[0])
                waiting.append(value[0])
    return seen
