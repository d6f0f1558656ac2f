"""A scene as one box: dropped from the search, joined, copied, rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.client import Comfy
from driver.comfy.process import PACK
from story_studio.media.probe import probe
from tests.web.canvas import Canvas, newer_only
from tests.web.test_examples import TINY, made
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
    # What another test made would be found again, and not be drawn.
    artist.set_widgets([("Draft scene", "seed", 4)])
    artist.set_node(scene, {"seed": 4})
    heard = artist.press_run()
    (made_film,) = made(artist, heard, "StoryStudio_Film", tmp_path)
    artist.screenshot("run")
    chapters = [chapter[2] for chapter in probe(made_film).chapters]
    assert chapters == ["Keeper", "Sailor", "Morning", "Epilogue"]
    drawn = [cls for cls in heard["order"] if cls in ("StoryStudio_TitleCard", "StoryStudio_Animatic")]
    assert drawn == 4 * ["StoryStudio_TitleCard"] + 4 * ["StoryStudio_Animatic"]


@newer_only
def test_a_story_from_nothing(artist: Canvas, voice: Path, tmp_path: Path) -> None:
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
    (film,) = made(artist, artist.press_run(), "StoryStudio_Film", tmp_path)
    artist.screenshot("run")
    assert [chapter[2] for chapter in probe(film).chapters] == ["Only"]


def test_a_copied_scene_is_not_made_again(artist: Canvas, tmp_path: Path) -> None:
    artist.open_template("Draft")
    artist.set_widgets([("EmptyAudio", "duration", 0.5), ("StoryStudio_Animatic", "width", 320)])
    # Not as the example has them: a copy takes over what was written since, and the original keeps it.
    artist.set_widgets([("Draft scene", "seed", 5), ("Draft scene", "text", "Nothing more is said.")])
    made(artist, artist.press_run(), "StoryStudio_Film", tmp_path)
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
    for node, made_before in before.items():
        assert after[node]["inputs"].items() >= made_before["inputs"].items()
    heard = artist.press_run()
    assert (heard["status"], heard["error"]) == ("success", None)
    files = [
        {
            output["images"][0]["filename"]
            for node, output in heard["outputs"].items()
            if output and node.startswith(f"{box}:")
        }
        for box in (original, copied)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 2
    said = [
        node["inputs"]["text"]
        for name, node in after.items()
        if name.startswith(f"{copied}:") and node["class_type"] == "StoryStudio_FilmScene"
    ]
    assert said == ["Nothing more is said."]
    assert not {"StoryStudio_TitleCard", "StoryStudio_Animatic"} & set(heard["order"])


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_one_box(path: Path) -> None:
    blueprint = read_workflow(path)
    (node,) = blueprint["nodes"]
    (inside,) = blueprint["definitions"]["subgraphs"]
    assert node["type"] == inside["id"]
    assert (node["title"], inside["name"]) == (path.stem, path.stem)
    assert blueprint["extra"]["BlueprintDescription"]


def test_examples_hold_the_boxes_of_the_blueprints() -> None:
    """What an example shows is what the search drops: the same nodes and links inside."""
    for example, name in (("Story", "Scene"), ("Draft", "Draft scene")):
        boxes = read_workflow(PACK / "example_workflows" / f"{example}.json")["definitions"]["subgraphs"]
        (origin,) = read_workflow(PACK / "subgraphs" / f"{name}.json")["definitions"]["subgraphs"]
        assert [_shape(box) for box in boxes] == 3 * [_shape(origin)]


def _shape(box: dict[str, Any]) -> str:
    links = {link["id"]: (link["origin_id"], link["origin_slot"]) for link in box["links"]}
    order = {
        node["id"]: number for number, node in enumerate(sorted(box["nodes"], key=lambda node: node["id"]))
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
            for node in sorted(box["nodes"], key=lambda node: node["id"])
        ]
    )
