"""A prompt without chains: the same results in the same order, and no node is upstream of many others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from story_studio.story.graph import Files, Graph, build, plan_of
from story_studio.story.order import IN_ORDER, QUEUED, RESULTS, Ordered, in_order, with_chains
from story_studio.story.recipes import Nodes, Recipe, is_link
from story_studio.story.schema import parse


def graph_of(*scenes: int, **settings: Any) -> Graph:
    """The graph of stories with so many scenes."""
    plans = []
    for number, count in enumerate(scenes):
        names = [f"scene_{scene}" for scene in range(count)]
        entries = [{"id": name, "prompt": f"{name} of {number}", "audio": f"{name}.wav"} for name in names]
        story = parse({"project_id": f"story_{number}", "scenes": entries, **settings})
        files = {name: Files(f"{number}_{name}.wav", None) for name in names}
        plans.append(plan_of(story, files, no_recipe))
    return build(plans)


def no_recipe(name: str, kind: str) -> Recipe:
    raise AssertionError(f"These stories name no recipe, and {name} ({kind}) was asked for.")


def outputs_of(nodes: Nodes) -> list[str]:
    ends = {*RESULTS, "SaveVideo", "PreviewImage"}
    return [node for node in nodes if nodes[node]["class_type"] in ends]


def order(nodes: Nodes, *outputs: str) -> Ordered:
    before = copy.deepcopy(nodes)
    ordered = in_order(nodes, outputs or outputs_of(nodes), "once")
    assert ordered and nodes == before
    return ordered


def requested(ordered: Ordered) -> list[str]:
    """The results in the order in which ComfyUI runs them, if nothing is finished: lazy inputs one by one."""
    done: dict[str, None] = {}

    def run(node: str) -> None:
        if node in done:
            return
        inputs = ordered.nodes[node]["inputs"]
        for value in inputs.values():
            if is_link(value):
                run(value[0])
        done[node] = None

    for target in ordered.targets:
        run(target)
    return [node for node in done if ordered.nodes[node]["class_type"] in RESULTS]


def upstream(nodes: Nodes, node: str) -> set[str]:
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for value in nodes[waiting.pop()]["inputs"].values():
            if is_link(value) and value[0] not in found:
                found.add(value[0])
                waiting.append(value[0])
    return found


def links(nodes: Nodes) -> Iterator[tuple[str, str, list[Any]]]:
    for node, content in nodes.items():
        yield from ((node, name, value) for name, value in content["inputs"].items() if is_link(value))


@pytest.mark.parametrize("profile", ["draft", "standard"])
@pytest.mark.parametrize("film", [None, {}])
def test_stills_then_clips_in_the_order_of_the_stories(profile: str, film: dict[str, Any] | None) -> None:
    graph = graph_of(20, 3, profile=profile, film=film)
    ordered = order(graph.nodes)
    expected = [*list(graph.stills.values())[:20], graph.sheets[0]]
    expected += [*list(graph.stills.values())[20:], graph.sheets[1]]
    # A check comes right after its clip; a draft has none.
    shown = [(clip, graph.checks.get(scene)) for scene, clip in graph.clips.items()]
    clips = [[node for node in nodes if node] for nodes in shown]
    films = [[graph.films[number]] if film is not None else [] for number in range(2)]
    expected += [*sum(clips[:20], []), *films[0], *sum(clips[20:], []), *films[1]]
    assert requested(ordered) == expected


@pytest.mark.parametrize(("profile", "retakes"), [("draft", 0), ("standard", 0), ("standard", 2)])
def test_the_cost_is_linear_in_the_scenes(profile: str, retakes: int) -> None:
    """The number of nodes upstream of all nodes is the work of ComfyUI's hashes."""
    costs = {}
    for count in (50, 500):
        ordered = order(graph_of(count, profile=profile, quality={"retakes": retakes}).nodes)
        costs[count] = sum(len(upstream(ordered.nodes, node)) for node in ordered.nodes)
    assert costs[500] < 1.5 * 10 * costs[50]


def test_no_link_leads_nowhere_and_other_nodes_stay_as_they_are() -> None:
    graph = graph_of(40)
    ordered = order(graph.nodes)
    assert all(value[0] in ordered.nodes for _, _, value in links(ordered.nodes))
    changed = {name for name in graph.nodes if graph.nodes[name] != ordered.nodes[name]}
    classes = {graph.nodes[name]["class_type"].removeprefix("StoryStudio_") for name in changed}
    ends = {"Still", "TalkingVideo", "ContactSheet", "Film"}
    assert classes == {"FilmScene", "Storyboard", *ends}
    added = ordered.nodes.keys() - graph.nodes
    assert {ordered.nodes[name]["class_type"] for name in added} == {IN_ORDER}


def test_films_and_sheets_get_all_their_scenes_in_order() -> None:
    graph = graph_of(300)
    ordered = order(graph.nodes)

    def joined(link: list[Any]) -> list[str]:
        node = ordered.nodes[link[0]]
        if node["class_type"] != IN_ORDER:
            return [link[0]]
        return [end for value in node["inputs"].values() for end in joined(value)]

    for end, name in ((graph.films[0], "film"), (graph.sheets[0], "storyboard")):
        chain, node = [], graph.nodes[end]["inputs"][name][0]
        while node:
            chain.append(node)
            node = graph.nodes[node]["inputs"].get(name, [None])[0]
        assert joined(ordered.nodes[end]["inputs"][name]) == chain[::-1]
    films, sheets = (ordered.nodes[ends[0]]["inputs"] for ends in (graph.films, graph.sheets))
    assert (films["film"][1], sheets["storyboard"][1]) == (0, 1)


def test_the_first_clip_may_ask_for_its_models_while_stills_are_rendered() -> None:
    graph = graph_of(3)
    ordered = order(graph.nodes)
    first, *later = graph.clips.values()
    assert ordered.targets[1:] == [first]
    videos = [ordered.nodes[clip]["inputs"]["video"][0] for clip in (first, *later)]
    assert "after" in ordered.nodes[videos[0]]["inputs"]
    assert set(graph.stills.values()) <= upstream(ordered.nodes, videos[0])
    assert not any("after" in ordered.nodes[video]["inputs"] for video in videos[1:])


def test_what_saves_a_clip_elsewhere_waits_for_the_stills() -> None:
    graph = graph_of(3)
    clip, still = graph.clips[next(iter(graph.clips))], list(graph.stills.values())[-1]
    graph.nodes["save"] = {"class_type": "SaveVideo", "inputs": {"video": [clip, 0]}}
    graph.nodes["show"] = {"class_type": "PreviewImage", "inputs": {"images": [still, 0]}}
    ordered = order(graph.nodes)
    assert {"save", "show"} <= set(ordered.targets)
    assert set(graph.stills.values()) <= upstream(ordered.nodes, "save")
    gate = ordered.nodes["save"]["inputs"]["video"]
    assert list(ordered.nodes[gate[0]]["inputs"].values())[-1] == [clip, 0]
    assert ordered.nodes["show"]["inputs"]["images"] == [still, 0]


def test_a_film_of_a_part_of_a_chain() -> None:
    graph = graph_of(5)
    scenes = [
        node for node, content in graph.nodes.items() if content["class_type"] == "StoryStudio_FilmScene"
    ]
    inputs = {"film": [scenes[1], 0], "name": "part"}
    graph.nodes["part"] = {"class_type": "StoryStudio_Film", "inputs": inputs}
    ordered = order(graph.nodes)
    part, whole = (upstream(ordered.nodes, film) & set(scenes) for film in ("part", graph.films[0]))
    assert (part, whole) == (set(scenes[:2]), set(scenes))
    assert {"part", *graph.clips.values()} <= set(requested(ordered))


def test_only_what_is_to_run_is_requested() -> None:
    graph = graph_of(3)
    ordered = order(graph.nodes, graph.sheets[0])
    assert requested(ordered) == [*graph.stills.values(), graph.sheets[0]]


def test_each_prompt_is_new() -> None:
    """ComfyUI reports what it has of a prompt's results only if the node that requests them runs."""
    graph = graph_of(3)
    ordered = order(graph.nodes)
    marked = [node for node, content in ordered.nodes.items() if QUEUED in content["inputs"]]
    assert marked == ordered.targets[:1]


def test_an_ordered_prompt_can_be_ordered_again() -> None:
    graph = graph_of(20)
    ordered = order(graph.nodes)
    again = order(ordered.nodes)
    assert requested(again) == requested(ordered)


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        {"1": {"class_type": "StoryStudio_Still", "inputs": {"image": ["2", 0]}}},
        {
            "1": {"class_type": "StoryStudio_Still", "inputs": {"image": ["2", 0]}},
            "2": {"class_type": "StoryStudio_Still", "inputs": {"image": ["1", 0]}},
        },
    ],
    ids=["nothing", "one result", "a loop"],
)
def test_nothing_to_order(nodes: Nodes) -> None:
    assert in_order(nodes, list(nodes), "once") is None


def test_the_metadata_of_a_film_has_its_chain() -> None:
    graph = graph_of(300)
    ordered = order(graph.nodes)
    chained = with_chains(ordered.nodes)
    assert chained.keys() == graph.nodes.keys()
    for node, content in graph.nodes.items():
        inputs = {name: value for name, value in content["inputs"].items() if name != "after"}
        assert {name: value for name, value in chained[node]["inputs"].items() if name != "after"} == inputs
