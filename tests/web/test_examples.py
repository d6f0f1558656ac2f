"""The examples as an artist meets them: opened from the template browser, run with the Run button."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.process import PACK
from story_studio.media.probe import probe
from tests.studio import Studio
from tests.web.canvas import Canvas, newer_only, older_only
from workflows.canvas import read_workflow

EXAMPLES = sorted((PACK / "example_workflows").glob("*.json"))
TINY = [
    *(("StoryStudio_TalkingVideo", side, 64) for side in ("width", "height")),
    ("StoryStudio_TalkingVideo", "steps", 1),
]
"""Settings that make Talking Video quick on a CPU."""


@pytest.fixture
def artist(artist: Canvas, voice: Path) -> Canvas:
    """With a voice and an image in the input folder."""
    Comfy(artist.url).upload(voice, voice.name, "")
    image = voice.with_name("example.png")
    Image.effect_noise((64, 64), 80).convert("RGB").save(image)
    Comfy(artist.url).upload(image, image.name, "")
    return artist


def test_nothing_is_missing_in_an_opened_example(artist: Canvas) -> None:
    """Its sample files can be chosen, newer interfaces find no issue, and the console has no warning."""
    artist.warnings.clear()
    for path in EXAMPLES:
        artist.open_template(path.stem)
        files = artist.run_script(
            """() => window.app.graph.nodes
                .filter(node => ['LoadAudio', 'LoadImage'].includes(node.type))
                .map(node => node.widgets.find(widget => ['audio', 'image'].includes(widget.name)))
                .map(widget => [widget.value, widget.options.values.includes(widget.value)])"""
        )
        assert all(known for _, known in files), files
    # An issue is found after the workflow is open; its error below the tabs stays until it is closed.
    artist.page.wait_for_timeout(1000)
    artist.screenshot("opened")
    assert artist.page.get_by_test_id("error-overlay").count() == 0
    assert not [warning for warning in artist.warnings if "duplicate" in warning]


@newer_only
def test_talking_video(artist: Canvas, voice: Path, tmp_path: Path) -> None:
    artist.open_template("Talking video")
    artist.screenshot("opened")
    files = [("LoadAudio", "audio", voice.name), ("LoadImage", "image", "example.png")]
    artist.set_widgets([*TINY, *files, ("StoryStudio_TalkingVideo", "steps", 3)])
    run = artist.press_run()
    (clip,) = fetch_results(artist, run, "StoryStudio_Clip", tmp_path)
    artist.screenshot("run")
    assert artist.crowded() == []
    info = probe(clip)
    assert (info.width, info.height, info.frames, info.channels) == (64, 64, 7, 1)
    artist.play("StoryStudio_Clip")
    # Above it stands what is wrong with the recording.
    texts = [text.splitlines()[-1].partition(" of 3")[0] for text in run["texts"]]
    steps = [f"Chunk 1 of 1, step {step}" for step in (1, 2, 3)]
    assert [text for text in dict.fromkeys(texts) if ", step " in text] == steps
    assert len(set(run["shown"])) > 1, "the text on the node did not change"


@newer_only
def test_scene(artist: Canvas, voice: Path, tmp_path: Path) -> None:
    artist.open_template("One scene")
    artist.screenshot("opened")
    sizes = [("EmptySD3LatentImage", side, 64) for side in ("width", "height")]
    artist.set_widgets([*TINY, *sizes, ("KSampler", "steps", 1), ("LoadAudio", "audio", voice.name)])
    run = artist.press_run()
    (still,) = fetch_results(artist, run, "StoryStudio_Still", tmp_path)
    (clip,) = fetch_results(artist, run, "StoryStudio_Clip", tmp_path)
    artist.screenshot("run")
    assert artist.crowded() == []
    with Image.open(still) as image:
        assert image.size == (64, 64)
    assert probe(clip).frames == 7
    assert any("Chunk 1 of 1, step 1 of 1" in text for text in run["texts"])


@newer_only
def test_image(artist: Canvas, tmp_path: Path) -> None:
    artist.open_template("One image")
    artist.screenshot("opened")
    sizes = [("EmptySD3LatentImage", side, 64) for side in ("width", "height")]
    artist.set_widgets([*sizes, ("KSampler", "steps", 2)])
    (still,) = fetch_results(artist, artist.press_run(), "StoryStudio_Still", tmp_path)
    artist.screenshot("run")
    assert artist.crowded() == []
    with Image.open(still) as image:
        assert image.size == (64, 64)


@older_only
def test_story(artist: Canvas, studio: Studio, voice: Path, tmp_path: Path) -> None:
    artist.open_template("Story")
    artist.screenshot("opened")
    sizes = [("Scene", side, 64) for side in ("width", "height")]
    artist.set_widgets([*TINY, *sizes, ("KSampler", "steps", 1), ("LoadAudio", "audio", voice.name)])
    # Another test's results would be reused instead of drawn.
    artist.set_widgets([("Scene", "seed", 3), ("Scene", "clip_seed", 3)])
    Comfy(artist.url).free()
    studio.loads()
    run = artist.press_run()
    (film,) = fetch_results(artist, run, "StoryStudio_Film", tmp_path)
    artist.screenshot("run")
    assert artist.crowded() == []
    artist.play("StoryStudio_Film")
    info = probe(film)
    assert [chapter[2] for chapter in info.chapters] == ["Keeper", "Sailor", "Morning"]
    assert (info.width, info.height, info.subtitles) == (64, 64, 1)
    assert 3 * 0.4 <= info.video_seconds <= 3 * 7 / 16 + 0.1
    talking = "StoryStudio_TalkingVideo"
    order = [cls for cls in run["order"] if cls in ("KSampler", talking)]
    # A Talking Video is asked first what it needs, so that its models can be read while stills are rendered.
    working = list(itertools.dropwhile(talking.__eq__, order))
    assert working[:3] == 3 * ["KSampler"]
    assert len(working) >= 6 and set(working[3:]) == {talking}
    read = [load["file"] for load in studio.loads()]
    assert len(read) == len(set(read)) == 7, "each model is read once"
    again = artist.press_run()
    assert again["status"] == "success"
    assert "StoryStudio_TalkingVideo" not in again["order"]


@newer_only
def test_draft_needs_nothing(artist: Canvas, tmp_path: Path) -> None:
    artist.open_template("Draft")
    artist.screenshot("opened")
    artist.set_widgets([("EmptyAudio", "duration", 0.5), ("StoryStudio_Animatic", "width", 320)])
    (film,) = fetch_results(artist, artist.press_run(), "StoryStudio_Film", tmp_path)
    artist.screenshot("run")
    assert artist.crowded() == []
    info = probe(film)
    assert [chapter[2] for chapter in info.chapters] == ["Keeper", "Sailor", "Morning"]
    assert 1.5 <= info.video_seconds <= 1.6
    assert info.metadata["draft"] == "true"
    artist.play("StoryStudio_Film")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_layout(path: Path) -> None:
    """Nothing overlaps, every node but the note is in a group, and the example has a thumbnail."""
    graph = read_workflow(path)
    boxes = [(node["id"], *node["pos"], *node["size"]) for node in graph["nodes"]]
    for number, (node_id, x, y, width, height) in enumerate(boxes):
        for other, x2, y2, width2, height2 in boxes[number + 1 :]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 - 30 or y2 + height2 <= y - 30
            assert apart, f"nodes {node_id} and {other} of {path.stem} overlap"
    groups = [group["bounding"] for group in graph["groups"]]
    for node, (_, x, y, width, height) in zip(graph["nodes"], boxes, strict=True):
        inside = [
            left <= x and top <= y - 30 and x + width <= left + w and y + height <= top + h
            for left, top, w, h in groups
        ]
        assert sum(inside) == (0 if node["type"] == "MarkdownNote" else 1), node["type"]
    with Image.open(path.with_suffix(".jpg")) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert thumbnail.width >= 300
    assert path.with_suffix(".jpg").stat().st_size < 100_000


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_no_id(path: Path) -> None:
    """ComfyUI gives one to each workflow that has none. Two stories from one example must not share theirs:
    takes and runs are told apart by it."""
    assert "id" not in read_workflow(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_id_is_used_once(path: Path) -> None:
    """Newer interfaces give others to those used twice, with a warning for each."""
    graph = read_workflow(path)
    graphs = [graph, *graph.get("definitions", {}).get("subgraphs", [])]
    ids = {
        "nodes": [node["id"] for graph in graphs for node in graph["nodes"]],
        "groups": [group["id"] for graph in graphs for group in graph["groups"]],
        "links": [
            link["id"] if isinstance(link, dict) else link[0] for graph in graphs for link in graph["links"]
        ],
    }
    for kind, used in ids.items():
        assert len(used) == len(set(used)), kind


def fetch_results(canvas: Canvas, run: dict[str, Any], cls: str, folder: Path) -> list[Path]:
    """The result files of all nodes of a class, fetched as the page fetches them."""
    assert (run["status"], run["error"]) == ("success", None)
    nodes = [node_id for node_id, node in canvas.api_graph().items() if node["class_type"] == cls]
    files = [run["outputs"][node]["images"][0] for node in nodes]
    return [canvas.fetch(file, folder / file["filename"]) for file in files]
