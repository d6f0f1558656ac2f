"""Scenes edited in the panel where they are no boxes side by side: loose nodes, and boxes in a box."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.web.canvas import Canvas, newer_only
from tests.web.test_editing import Editor
from tests.web.test_panel import NAMES

_WRAP = """() => {
    const { graph } = window.app;
    const scenes = graph.nodes.filter(node => node.subgraph || node.type === 'EmptyAudio');
    // What the panel shows once it has read the canvas again.
    scenes.flatMap(node => node.widgets).find(widget => widget.value === 'Keeper').value = 'Warden';
    graph.convertToSubgraph(new Set(scenes));
    graph.afterChange();
    window.dispatchEvent(new MouseEvent('mouseup'));
}"""
_JOINS = """() => window.app.graph.nodes.filter(node => node.type === 'StoryStudio_FilmScene')
    .map(node => Object.fromEntries(node.widgets.map(({ name, value }) => [name, value])))"""


def loose(api: dict[str, Any]) -> dict[str, Any]:
    """A graph without boxes, as a program posts it; its first scene has a pause of its own."""
    ids = {old: str(number) for number, old in enumerate(api, 1)}
    flat = {}
    for old, node in api.items():
        linked = {
            name: [ids[value[0]], value[1]]
            for name, value in node["inputs"].items()
            if isinstance(value, list)
        }
        flat[ids[old]] = {**node, "inputs": node["inputs"] | linked}
    next(node for node in flat.values() if node["class_type"] == "StoryStudio_FilmScene")["inputs"][
        "pause_after"
    ] = 1.5
    return flat


def with_gull(flat: dict[str, Any]) -> dict[str, Any]:
    """A fourth scene, a copy of the first one up to its clip, that neither film nor contact sheet has."""
    of = {node["class_type"]: id for id, node in reversed(flat.items())}
    kinds = ["StoryStudio_TitleCard", "StoryStudio_Still", "StoryStudio_Animatic", "StoryStudio_Clip"]
    new = {of[kind]: str(100 + number) for number, kind in enumerate(kinds)}
    for kind in kinds:
        inputs = {
            name: [new.get(value[0], value[0]), value[1]] if isinstance(value, list) else value
            for name, value in flat[of[kind]]["inputs"].items()
        }
        named = {"name": "Gull"} if "name" in inputs else {}
        flat[new[of[kind]]] = {"class_type": kind, "inputs": inputs | named}
    return flat


@newer_only
def test_loose_nodes(artist: Canvas) -> None:
    panel = Editor(artist)
    api = with_gull(loose(artist.api_graph()))
    # A clip that nothing reads is no part of what is posted.
    api["104"] = {"class_type": "PreviewAny", "inputs": {"source": ["103", 0]}}
    artist.run_script("api => window.app.loadApiJson(api, 'Loose')", api)
    expect(panel.names).to_have_text([*(f"{number}. {name}" for number, name in enumerate(NAMES, 1)), "Gull"])
    panel.unfold()
    panel.press_button("Add Gull to the film")
    panel.linked(*NAMES, "Gull", board=NAMES)
    panel.handle("4. Gull").press("Alt+ArrowUp")
    panel.linked("Keeper", "Sailor", "Gull", "Morning", board=NAMES)
    panel.press_button("Duplicate 1. Keeper")
    panel.linked(
        "Keeper", "Keeper 2", "Sailor", "Gull", "Morning", board=["Keeper", "Keeper 2", "Sailor", "Morning"]
    )
    pauses = {join["title"]: join["pause_after"] for join in artist.run_script(_JOINS)}
    assert pauses == {"Keeper": 1.5, "Keeper 2": 1.5, "Sailor": -1, "Gull": -1, "Morning": -1}
    artist.screenshot("loose")
    assert [said for said in artist.crowded() if "overlap" in said] == []
    panel.press_button("Remove 5. Morning")
    panel.linked("Keeper", "Keeper 2", "Sailor", "Gull", board=["Keeper", "Keeper 2", "Sailor"])
    panel.undo()
    panel.linked(
        "Keeper", "Keeper 2", "Sailor", "Gull", "Morning", board=["Keeper", "Keeper 2", "Sailor", "Morning"]
    )
    panel.undo()
    panel.linked("Keeper", "Sailor", "Gull", "Morning", board=NAMES)


@newer_only
def test_boxes_in_a_box(artist: Canvas) -> None:
    panel = Editor(artist)
    artist.run_script(_WRAP)
    panel.linked("Warden", "Sailor", "Morning")
    panel.handle("3. Morning").press("Alt+ArrowUp")
    panel.linked("Warden", "Morning", "Sailor")
    panel.handle("1. Warden").press("Alt+ArrowDown")
    panel.linked("Morning", "Warden", "Sailor")
    panel.press_button("+ Add a scene")
    panel.linked("Morning", "Warden", "Sailor", "Scene 4")
    assert artist.run_script("() => window.app.canvas.graph === window.app.rootGraph"), "the view stays"
    panel.unfold()
    panel.press_button("Remove 1. Morning")
    panel.linked("Warden", "Sailor", "Scene 4")
    panel.undo()
    panel.linked("Morning", "Warden", "Sailor", "Scene 4")
