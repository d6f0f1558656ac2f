"""A prompt without the scenes that failed: everything else is made, and nothing is linked to what is lost."""

from __future__ import annotations

import copy

from story_studio.story.graph import SceneId
from story_studio.story.left_out import Remaining, leave_out
from story_studio.story.order import in_order
from story_studio.story.recipes import Nodes, is_link
from story_studio.story.results import Kind

from .test_order import graph_of, order, outputs_of, requested


def without(nodes: Nodes, *failed: str, finished: tuple[str, ...] = ()) -> Remaining:
    before = copy.deepcopy(nodes)
    rest = leave_out(nodes, outputs_of(nodes), failed, finished)
    assert nodes == before, "it was changed"
    return rest


def classes(nodes: Nodes, cls: str) -> list[str]:
    return [node for node in nodes if nodes[node]["class_type"] == cls]


def scenes_of_film(rest: Remaining) -> list[str]:
    """The clips of the only film, in its order."""
    (film,) = classes(rest.nodes, Kind.FILM.node)
    clips, link = [], rest.nodes[film]["inputs"].get("film")
    while is_link(link) and rest.nodes[link[0]]["class_type"] == "StoryStudio_FilmScene":
        inputs = rest.nodes[link[0]]["inputs"]
        clips.append(inputs["clip"][0])
        link = inputs.get("film")
    return clips[::-1]


def test_a_lost_recording_costs_its_clip_and_the_film() -> None:
    graph = graph_of(3)
    clips = list(graph.clips.values())
    for number, clip in enumerate(clips):
        rest = without(graph.nodes, voice_of(graph.nodes, clip))
        left = [one for one in clips if one != clip]
        results = [*graph.stills.values(), *left, *graph.sheets.values()]
        assert set(rest.outputs) >= set(results) and clip not in rest.outputs
        # A film that lacks a scene is not made, but where only the film was queued, the other clips are.
        (film,) = graph.films.values()
        assert film in rest.lost
        alone = leave_out(graph.nodes, [film], [voice_of(graph.nodes, clip)])
        assert set(alone.outputs) >= {*left, *graph.stills.values()} and film not in alone.outputs
        # With its clip the scene's check is lost, and no other.
        kept = {kind: classes(subset(rest), kind.node) for kind in (Kind.CHECK, Kind.CLIP)}
        assert len(kept[Kind.CLIP]) == 2 and len(kept[Kind.CHECK]) in (0, 2), number
        assert [checked(rest, one) for one in scenes_of_film(rest)] == left
        ordered = order(rest.nodes, *rest.outputs)
        assert set(results) <= set(requested(ordered)) and clip not in requested(ordered)


def voice_of(nodes: Nodes, clip: str) -> str:
    """The Load Audio that only this clip is made from."""
    waiting, seen = [clip], set()
    while waiting:
        node = waiting.pop()
        if nodes[node]["class_type"] == "LoadAudio":
            return node
        seen.add(node)
        inputs = nodes[node]["inputs"]
        waiting += [value[0] for name, value in inputs.items() if is_link(value) and name != "after"]
    raise AssertionError(clip)


def subset(rest: Remaining) -> Nodes:
    return {node: rest.nodes[node] for node in rest.nodes if node not in rest.lost}


def checked(rest: Remaining, node: str) -> str:
    inputs = rest.nodes[node]["inputs"]
    return inputs["clip"][0] if rest.nodes[node]["class_type"] == Kind.CHECK.node else node


def test_a_lost_still_costs_the_scene_and_the_sheet_has_the_others() -> None:
    graph = graph_of(3)
    first = graph.stills[SceneId(0, "scene_0")]
    rest = without(graph.nodes, first)
    assert {first, graph.clips[SceneId(0, "scene_0")]} <= rest.lost
    assert set(graph.sheets.values()) <= set(rest.outputs)
    assert len(scenes_of_film(rest)) == 2
    assert len([node for node in classes(rest.nodes, "StoryStudio_Storyboard") if node not in rest.lost]) == 2


def test_without_any_scene_there_is_neither_film_nor_sheet() -> None:
    graph = graph_of(2)
    rest = without(graph.nodes, *(voice_of(graph.nodes, clip) for clip in graph.clips.values()))
    kinds = [rest.nodes[node]["class_type"] for node in rest.outputs]
    assert set(kinds) == {Kind.STILL.node, Kind.SHEET.node}
    assert without(graph.nodes, *graph.stills.values()).outputs == []


def test_finished_results_need_nothing_upstream() -> None:
    graph = graph_of(2)
    loader = classes(graph.nodes, "UNETLoader")[0]
    stills = tuple(graph.stills.values())
    assert not set(stills) & set(without(graph.nodes, loader).outputs)
    rest = without(graph.nodes, loader, finished=stills)
    assert set(stills) <= set(rest.outputs) and set(graph.clips.values()) <= set(rest.outputs)


def test_a_failed_check_or_retake_leaves_its_clip() -> None:
    graph = graph_of(2, quality={"retakes": 2})
    scene = SceneId(0, "scene_0")
    check, clip, (first, second) = graph.checks[scene], graph.clips[scene], graph.retakes[scene]
    rest = without(graph.nodes, check)
    assert check not in rest.outputs and clip in rest.outputs
    assert scenes_of_film(rest) == [clip, graph.checks[SceneId(0, "scene_1")]]
    for failed, left in ((first, set()), (second, {"retake_1"})):
        rest = without(graph.nodes, failed)
        inputs = rest.nodes[check]["inputs"]
        assert {name for name in inputs if name.startswith("retake_")} == left
        assert set(rest.outputs) == set(outputs_of(graph.nodes)), "only the retake is given up"


def test_a_film_that_is_lost_leaves_its_clips_to_be_made() -> None:
    graph = graph_of(2)
    (film,) = graph.films.values()
    rest = without(graph.nodes, film)
    assert set(graph.clips.values()) <= set(requested(order(rest.nodes, *rest.outputs)))


def test_a_long_story_is_no_problem() -> None:
    graph = graph_of(500)
    clip = graph.clips[SceneId(0, "scene_250")]
    rest = without(graph.nodes, voice_of(graph.nodes, clip))
    assert len(scenes_of_film(rest)) == 499
    assert in_order(rest.nodes, rest.outputs, "once")
