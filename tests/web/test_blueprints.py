"""A scene as one subgraph: added from the search, linked, copied, rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.client import Comfy
from driver.comfy.process import PACK
from story_studio.media.probe import probe
from tests.web.canvas import Canvas, newer_only, older_only
from tests.web.test_examples import TINY, fetch_results
from workflows.canvas import read_workflow

BLUEPRINTS = sorted((PACK / "subgraphs").glob("*.json"))


def test_a_draft_gets_a_fourth_scene(artist: Canvas, tmp_path: Path) -> None:
    artist.open_template("Draft")
    artist.set_widgets([("EmptyAudio", "duration", 0.5), ("StoryStudio_Animatic", "width", 320)])
    nodes = artist.run_script(
        """() => window.app.graph.nodes.flatMap(
            node => [node.type, node.widgets?.[0]?.value].map(name => [name, String(node.id)])
        )"""
    )
    last, sheet, film, voice = (
        next(node for name, node in nodes if name == wanted)
        for wanted in ("Morning", "StoryStudio_ContactSheet", "StoryStudio_Film", "EmptyAudio")
    )
    artist.show_empty_place()
    scene = artist.drop("Draft scene", 700, 400)
    for name, end in (("storyboard", sheet), ("film", film)):
        artist.join(last, name, scene, name)
        artist.join(scene, name, end, name)
    artist.join(voice, "AUDIO", scene, "voice")
    artist.set_node(scene, {"title": "Epilogue", "prompt": "The lamp goes out", "width": 320, "height": 192})
    artist.screenshot("joined")
    # Another test's results would be reused instead of drawn.
    artist.set_widgets([("Draft scene", "seed", 4), ("Draft scene", "clip_seed", 4)])
    artist.set_node(scene, {"seed": 4, "clip_seed": 4})
    run = artist.press_run()
    (film_path,) = fetch_results(artist, run, "StoryStudio_Film", tmp_path)
    artist.screenshot("run")
    chapters = [chapter[2] for chapter in probe(film_path).chapters]
    assert chapters == ["Keeper", "Sailor", "Morning", "Epilogue"]
    drawn = [cls for cls in run["order"] if cls in ("StoryStudio_TitleCard", "StoryStudio_Animatic")]
    assert drawn == 4 * ["StoryStudio_TitleCard"] + 4 * ["StoryStudio_Animatic"]


@newer_only
def test_a_story_from_scratch(artist: Canvas, voice: Path, tmp_path: Path) -> None:
    Comfy(artist.url).upload(voice, voice.name, "")
    artist.run_script("() => window.app.graph.clear()")
    artist.show_empty_place()
    scene = artist.drop("Scene", 500, 300)
    artist.show_empty_place()
    end = artist.drop("Story end", 700, 400)
    artist.show_empty_place()
    sound = artist.drop("Load Audio", 700, 400)
    artist.join(sound, "AUDIO", scene, "voice")
    for name in ("storyboard", "film"):
        artist.join(scene, name, end, name)
    artist.join(end, "start", scene, "film")
    artist.set_node(scene, {"title": "Only", "prompt": "A fisherman", "width": 64, "height": 64})
    artist.set_widgets([*TINY, ("KSampler", "steps", 1), ("LoadAudio", "audio", voice.name)])
    (film,) = fetch_results(artist, artist.press_run(), "StoryStudio_Film", tmp_path)
    artist.screenshot("run")
    assert [chapter[2] for chapter in probe(film).chapters] == ["Only"]


@older_only
def test_a_copied_scene_is_not_rendered_again(artist: Canvas, tmp_path: Path) -> None:
    artist.open_template("Draft")
    artist.set_widgets([("EmptyAudio", "duration", 0.5), ("StoryStudio_Animatic", "width", 320)])
    # Other values than the example's: a copy takes over what was edited since, and the original keeps it.
    artist.set_widgets(
        [
            ("Draft scene", "seed", 5),
            ("Draft scene", "clip_seed", 5),
            ("Draft scene", "text", "Nothing more is said."),
        ]
    )
    fetch_results(artist, artist.press_run(), "StoryStudio_Film", tmp_path)
    before = artist.api_graph()
    original, copied = artist.run_script(
        """() => {
            const { graph, canvas } = window.app;
            const node = graph.nodes.find(node => node.widgets?.[0]?.value === 'Sailor');
            canvas.copyToClipboard([node]);
            canvas.pasteFromClipboard({ position: [0, 2000] });
            const copy = graph.nodes.at(-1);
            const voice = graph.getNodeById(graph.getLink(node.inputs[0].link).origin_id);
            voice.connect(0, copy, 0);
            return [String(node.id), String(copy.id)];
        }"""
    )
    after = artist.api_graph()
    for node, node_before in before.items():
        assert after[node]["inputs"].items() >= node_before["inputs"].items()
    run = artist.press_run()
    assert (run["status"], run["error"]) == ("success", None)
    files = [
        {
            output["images"][0]["filename"]
            for node, output in run["outputs"].items()
            if output and node.startswith(f"{scene}:")
        }
        for scene in (original, copied)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 2
    texts = [
        node["inputs"]["text"]
        for name, node in after.items()
        if name.startswith(f"{copied}:") and node["class_type"] == "StoryStudio_FilmScene"
    ]
    assert texts == ["Nothing more is said."]
    assert not {"StoryStudio_TitleCard", "StoryStudio_Animatic"} & set(run["order"])


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_one_subgraph(path: Path) -> None:
    blueprint = read_workflow(path)
    (node,) = blueprint["nodes"]
    (inside,) = blueprint["definitions"]["subgraphs"]
    assert node["type"] == inside["id"]
    assert (node["title"], inside["name"]) == (path.stem, path.stem)
    assert blueprint["extra"]["BlueprintDescription"]


def test_examples_hold_the_subgraphs_of_the_blueprints() -> None:
    """The scenes of an example and those from the search have the same nodes and links inside."""
    for example, name in (("Story", "Scene"), ("Draft", "Draft scene")):
        subgraphs = read_workflow(PACK / "example_workflows" / f"{example}.json")["definitions"]["subgraphs"]
        (origin,) = read_workflow(PACK / "subgraphs" / f"{name}.json")["definitions"]["subgraphs"]
        assert [_shape(subgraph) for subgraph in subgraphs] == 3 * [_shape(origin)]


def _shape(subgraph: dict[str, Any]) -> str:
    links = {link["id"]: (link["origin_id"], link["origin_slot"]) for link in subgraph["links"]}
    order = {
        node["id"]: number
        for number, node in enumerate(sorted(subgraph["nodes"], key=lambda node: node["id"]))
    }
    return json.dumps(
        [
            (
                node["type"],
                [
                    (order.get(links[entry["link"]][0], -1), links[entry["link"]][1])
                    for entry in node["inputs"]
                    if entry.get("link") is not None
                ],
            )
            for node in sorted(subgraph["nodes"], key=lambda node: node["id"])
        ]
    )
