"""A saved story keeps the values of its subgraphs, whichever of ComfyUI's interfaces opens it next."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.client import Comfy
from driver.comfy.process import PACK
from tests.voices import write_voice
from tests.web.canvas import Canvas
from workflows.canvas import read_workflow

ASIDE = "proxyWidgetErrorQuarantine"
"""Where newer interfaces put a value whose widget they do not find: it then overrides what is saved later."""
VOICES = ["one.wav", "two.wav", "three.wav"]


@pytest.fixture
def interfaces(canvas: Canvas, newer_canvas: Canvas, tmp_path: Path) -> list[Canvas]:
    """The oldest interface and the newest, each with the voices."""
    both = [canvas, newer_canvas]
    for number, name in enumerate(VOICES):
        voice = write_voice(tmp_path / name, 0.4, pitch=100.0 + 20 * number)
        for page in both:
            Comfy(page.url).upload(voice, name, "")
    return both


def test_an_example_goes_through_both_interfaces(interfaces: list[Canvas], tmp_path: Path) -> None:
    older, newer = interfaces
    older.open_template("Story")
    pass_on([older, newer, older, newer], tmp_path)


def test_a_story_of_blueprints_goes_through_both_interfaces(interfaces: list[Canvas], tmp_path: Path) -> None:
    first, newer = interfaces
    first.run_script("() => window.app.graph.clear()")
    dropped = []
    for name in ("Scene", "Story end", "Load Audio"):
        first.show_empty_place()
        dropped.append(first.drop(name, 500, 300))
    scene, end, voice = dropped
    first.join(voice, "AUDIO", scene, "voice")
    for name in ("storyboard", "film"):
        first.join(scene, name, end, name)
    first.join(end, "start", scene, "film")
    pass_on([first, newer, first], tmp_path)


def pass_on(interfaces: list[Canvas], folder: Path) -> None:
    """Changes, saves and reloads the open story in each interface, which hands its file to the next."""
    file, expected = folder, []
    for number, canvas in enumerate(interfaces):
        if number:
            canvas.open_file(file)
            assert content(canvas) == expected, "the other interface saved other values"
        change(canvas, number)
        expected = content(canvas)
        file = folder / f"{folder.name}-{number}.json"
        saved = canvas.save(file.stem)
        file.write_text(json.dumps(saved))
        for _ in range(2):
            canvas.open()
            canvas.load(saved)
            assert content(canvas) == expected, "values were lost when the file was opened again"
        canvas.screenshot(f"{number}")
        assert ASIDE not in file.read_text()


def change(canvas: Canvas, number: int) -> None:
    """Gives every subgraph and voice on the canvas values that none of them had."""
    nodes = canvas.run_script(
        """() => window.app.graph.nodes.map(node => [
            String(node.id),
            node.subgraph ? 'box' : node.type,
            (node.widgets ?? []).map(widget => widget.name),
        ])"""
    )
    for place, (node, kind, widgets) in enumerate(nodes):
        values: dict[str, Any] = {}
        if kind == "box":
            texts = ("title", "prompt", "video_prompt", "text")
            values = {name: f"{name} {number} of {place}" for name in texts}
            values |= {"width": 64 * (place + number + 1), "seed": 2_854_559_373 + 100 * number + place}
        elif kind == "LoadAudio":
            values = {"audio": VOICES[(place + number) % len(VOICES)]}
        fitting = {name: value for name, value in values.items() if name in widgets}
        if fitting:
            canvas.set_node(node, fitting)


def content(canvas: Canvas) -> list[str]:
    """What would be submitted to the server, without the nodes' ids, which differ from page to page."""
    graph = canvas.api_graph()
    written: dict[str, str] = {}

    def write(node_id: str) -> str:
        if node_id not in written:
            # The audio player is not an input of its node.
            inputs = {name: value for name, value in graph[node_id]["inputs"].items() if name != "audioUI"}
            for name, value in inputs.items():
                if isinstance(value, list):
                    inputs[name] = [hashlib.sha256(write(value[0]).encode()).hexdigest(), value[1]]
            written[node_id] = json.dumps([graph[node_id]["class_type"], inputs], sort_keys=True)
        return written[node_id]

    return sorted(map(write, graph))


@pytest.mark.parametrize("interface", ["canvas", "newer_canvas"])
def test_values_that_an_earlier_save_set_aside_do_not_come_back(
    request: pytest.FixtureRequest, interface: str
) -> None:
    canvas: Canvas = request.getfixturevalue(interface)
    story = read_workflow(PACK / "example_workflows" / "Draft.json")
    box = next(node for node in story["nodes"] if node["type"] == story["definitions"]["subgraphs"][0]["id"])
    box["properties"][ASIDE] = [aside("title", "An old title"), aside("seed", 77), aside("gone", "a value")]
    box["widgets_values"] = ["A new title", "a prompt", "a text", 320, 192, 2_854_559_373, 7]
    canvas.load(story)
    canvas.screenshot("opened")
    (shown,) = (node for node in saved_nodes(canvas) if node["id"] == box["id"])
    assert shown["widgets_values"] == box["widgets_values"]
    card = next(node["inputs"] for node in canvas.api_graph().values() if "heading" in node["inputs"])
    assert (card["heading"], card["seed"]) == ("A new title", 2_854_559_373)
    assert shown["properties"][ASIDE] == [aside("gone", "a value")]


@pytest.mark.parametrize("interface", ["canvas", "newer_canvas"])
def test_a_value_that_a_box_only_shows_stays_that_of_the_node_inside(
    request: pytest.FixtureRequest, interface: str
) -> None:
    """Older interfaces save null for it."""
    canvas: Canvas = request.getfixturevalue(interface)
    story = read_workflow(PACK / "example_workflows" / "Story.json")
    inside = story["definitions"]["subgraphs"][0]
    sampler = next(node["id"] for node in inside["nodes"] if node["type"] == "KSampler")
    box = next(node for node in story["nodes"] if node["type"] == inside["id"])
    names = [entry["name"] for entry in box["inputs"] if "widget" in entry]
    box["properties"]["proxyWidgets"] = [[str(sampler), "steps"], *(["-1", name] for name in names)]
    box["widgets_values"] = [None, "A title", *box["widgets_values"][1:]]
    canvas.load(story)
    nodes = canvas.api_graph()
    steps = {node["inputs"]["steps"] for node in nodes.values() if node["class_type"] == "KSampler"}
    titles = {node["inputs"].get("title") for node in nodes.values()}
    assert (steps, "A title" in titles) == ({8}, True)


def test_a_subgraph_that_an_older_interface_copied_is_pasted(canvas: Canvas, newer_canvas: Canvas) -> None:
    canvas.open_template("Draft")
    canvas.set_widgets([("Draft scene", "seed", 2_854_559_373), ("Draft scene", "title", "Copied")])
    newer_canvas.run_script("() => window.app.graph.clear()")
    for source, seed in ((canvas, 2_854_559_373), (newer_canvas, 5)):
        clipboard = source.run_script(
            """() => {
                const { graph, canvas } = window.app;
                canvas.copyToClipboard([graph.nodes.findLast(node => node.subgraph)]);
                return localStorage.getItem('litegrapheditor_clipboard');
            }"""
        )
        newer_canvas.run_script(
            """clipboard => {
                localStorage.setItem('litegrapheditor_clipboard', clipboard);
                window.app.canvas.pasteFromClipboard({ position: [0, 0] });
            }""",
            clipboard,
        )
        box = saved_nodes(newer_canvas)[-1]
        assert (box["widgets_values"][0], box["widgets_values"][-2]) == ("Copied", seed)
        assert ASIDE not in box["properties"]
        newer_canvas.set_widgets([("Draft scene", "seed", 5)])


def test_subgraphs_of_other_workflows_are_left_alone(newer_canvas: Canvas) -> None:
    slot = {"type": "INT", "pos": [0, 0]}
    entry = {"name": "value", "type": "INT", "widget": {"name": "value"}}
    node = {"id": 1, "pos": [0, 0], "size": [200, 80], "flags": {}, "order": 0, "mode": 0}
    link = {"origin_slot": 0, "target_slot": 0, "type": "INT"}
    inner = node | {
        "type": "PrimitiveInt",
        "properties": {},
        "inputs": [entry | {"link": 1}],
        "outputs": [{"name": "INT", "type": "INT", "links": [2]}],
        "widgets_values": [5, "fixed"],
    }
    box = {
        "id": "0f4d6fbe-4dc5-4b6d-9df7-4c9be1a6b1f3",
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": 1, "lastLinkId": 2, "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": "A number",
        "inputNode": {"id": -10, "bounding": [-200, 0, 120, 60]},
        "outputNode": {"id": -20, "bounding": [300, 0, 120, 60]},
        "inputs": [slot | {"id": "2b8c51c5-f54a-4f4e-8a2f-1c1ed6e6f6a1", "name": "value", "linkIds": [1]}],
        "outputs": [slot | {"id": "c3a4f8d0-0a3e-4d59-9d8b-5f5e5b0d7a42", "name": "INT", "linkIds": [2]}],
        "widgets": [],
        "nodes": [inner],
        "groups": [],
        "links": [
            link | {"id": 1, "origin_id": -10, "target_id": 1},
            link | {"id": 2, "origin_id": 1, "target_id": -20},
        ],
    }
    outer = node | {
        "type": box["id"],
        "properties": {ASIDE: [aside("value", 77)]},
        "inputs": [entry | {"link": None}],
        "outputs": [{"name": "INT", "type": "INT", "links": None}],
        "widgets_values": [6],
    }
    newer_canvas.load(
        {"last_node_id": 1, "last_link_id": 0, "nodes": [outer], "links": [], "groups": [], "version": 0.4}
        | {"definitions": {"subgraphs": [box]}}
    )
    (shown,) = saved_nodes(newer_canvas)
    assert shown["properties"][ASIDE] == [aside("value", 77)]


def aside(name: str, value: Any) -> dict[str, Any]:
    """What newer interfaces set aside for a widget of a subgraph that an older one saved."""
    reason = {"reason": "missingSourceNode", "hostValue": value, "attemptedAtVersion": 1}
    return {"originalEntry": ["-1", name], **reason}


def saved_nodes(canvas: Canvas) -> list[dict[str, Any]]:
    """The nodes on the canvas as a file would hold them."""
    return canvas.run_script("() => JSON.parse(JSON.stringify(window.app.graph.serialize().nodes))")
