"""Check Clip on the real server: what it shows, when it requests retakes, and which take it passes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from driver.comfy.events import Finished
from story_studio.media.clip_writer import ClipWriter
from story_studio.story.results import key_in
from tests.rendering.test_clips import ffmpeg
from tests.studio import Studio

Nodes = dict[str, dict[str, Any]]
WIDTH, HEIGHT, FPS = 128, 96, 16


def node(cls: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls, "inputs": inputs}


def write_clip(path: Path, seconds: float, frozen: float = 0.0) -> Path:
    """A clip without sound in which a square moves, and from half a second on stands still for a while."""
    rng = np.random.default_rng(0)
    ground = rng.integers(40, 200, (HEIGHT, WIDTH, 3), np.uint8)
    with ClipWriter(path, WIDTH, HEIGHT, np.zeros((0, 0), np.float32), 48_000, FPS) as writer:
        for number in range(round(seconds * FPS)):
            moved = number if number < FPS / 2 else max(FPS // 2, number - round(frozen * FPS))
            frame = ground.copy()
            frame[30:60, 4 + 2 * moved : 34 + 2 * moved] = 255
            writer.write(frame[None])
    return path


@pytest.fixture(scope="module")
def videos(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A clip that moves, three that stand still for a while, and one whose sound ends early, as names in the
    input folder."""
    folder = tmp_path_factory.mktemp("checks")
    frozen = {"moving": 0.0, "still_1": 1.25, "still_2": 1.0, "still_3": 1.5}
    paths = {name: write_clip(folder / f"{name}.mp4", 2.5, seconds) for name, seconds in frozen.items()}
    sources = ("testsrc2=s=128x96:r=16:d=2.5", "sine=440:d=1")
    options = [part for source in sources for part in ("-f", "lavfi", "-i", source)]
    paths["voiceless"] = ffmpeg(folder / "voiceless.mp4", *options)
    return {name: studio.comfy.upload(path, f"check_{name}.mp4") for name, path in paths.items()}


def graph_of(videos: dict[str, str], first: str, *retakes: str, name: str = "checked") -> Nodes:
    nodes = {
        "load": node("LoadVideo", file=videos[first]),
        "clip": node("StoryStudio_Clip", video=["load", 0], name=name),
        "check": node("StoryStudio_CheckClip", clip=["clip", 0], name=name, talking=False),
        "saved": node("SaveVideo", video=["check", 0], filename_prefix=name, format="auto", codec="auto"),
    }
    for number, video in enumerate(retakes, 1):
        nodes[f"load_{number}"] = node("LoadVideo", file=videos[video])
        nodes[f"retake_{number}"] = node("StoryStudio_Retake", video=[f"load_{number}", 0], name=name)
        nodes["check"]["inputs"][f"retake_{number}"] = [f"retake_{number}", 0]
    return nodes


def run(studio: Studio, nodes: Nodes) -> dict[str, Any]:
    *_, end = studio.comfy.run(nodes)
    assert isinstance(end, Finished) and end.status == "success", end
    return end.outputs


def test_a_clip_is_measured_once(studio: Studio, videos: dict[str, str], tmp_path: Path) -> None:
    outputs = run(studio, graph_of(videos, "moving"))
    (about,), (sheet,), (clip,) = (outputs["check"][name] for name in ("check", "images", "clip"))
    assert (about["verdict"], about["reused"]) == ("pass", False)
    assert about["figures"]["fps"] == FPS
    assert sheet["subfolder"] == "story_studio/checks" and key_in(sheet["filename"]) == about["key"]
    with Image.open(studio.comfy.fetch(sheet, tmp_path / "sheet.png")) as image:
        assert image.width > 300
    assert clip["key"] == about["kept"] == outputs["clip"]["checkpoint"][0]["key"]
    assert clip["reused"] is False and "warnings" not in outputs["check"]
    again = run(studio, graph_of(videos, "moving", name="another name"))
    takes = [about["takes"][0] | {"reused": True}]
    assert again["check"]["check"][0] == about | {"reused": True, "takes": takes}
    assert again["check"]["images"] == [sheet]
    # The panel finds it by the clip.
    body = {"prompt": graph_of(videos, "moving")}
    takes = requests.post(f"{studio.url}/story_studio/takes", json=body, timeout=60).json()["clip"]["takes"]
    (check,) = (take["check"] for take in takes if take["key"] == clip["key"])
    assert (check["verdict"], check["finding"], check["sheet"]) == ("pass", None, sheet)
    assert {"name": "flicker", "value": "0.0 levels"} in check["figures"]


def test_a_clip_that_fails_is_made_again_until_one_does_not(studio: Studio, videos: dict[str, str]) -> None:
    nodes = graph_of(videos, "still_1", "still_2", "moving", "still_3")
    outputs = run(studio, nodes)
    (about,), (clip,) = outputs["check"]["check"], outputs["check"]["clip"]
    assert about["verdict"] == "pass"
    verdicts = [take["verdict"] for take in about["takes"]]
    assert verdicts == ["fail", "fail", "pass"]
    # The third one was not needed.
    assert set(outputs) == {"clip", "check", "retake_1", "retake_2", "saved"}
    keys = [outputs[name]["checkpoint"][0]["key"] for name in ("clip", "retake_1", "retake_2")]
    assert [take["key"] for take in about["takes"]] == keys
    assert about["kept"] == clip["key"] == keys[-1]
    assert clip["reused"] is outputs["retake_2"]["checkpoint"][0]["reused"]
    *made_again, kept_take = outputs["check"]["warnings"]
    assert len(made_again) == 2
    assert all(text.startswith("Made again: the image stands still for 1.") for text in made_again)
    assert kept_take == "Take 3 of 3 is kept."
    kept = studio.server.output / clip["subfolder"] / clip["filename"]
    saved = outputs["saved"]["images"][0]
    assert key_in(kept.name) == keys[-1] and saved["filename"].startswith("checked")


def test_the_best_of_all_is_kept_if_all_fail(studio: Studio, videos: dict[str, str]) -> None:
    nodes = graph_of(videos, "still_1", "still_2", "still_3", name="best")
    first = run(studio, nodes)
    (about,) = first["check"]["check"]
    assert [take["verdict"] for take in about["takes"]] == ["fail"] * 3
    assert about["kept"] == about["takes"][1]["key"]
    assert about["verdict"] == "fail" and about["findings"][0]["figure"] == "frames.frozen"
    # Their files are found again, so no video is loaded.
    again = run(studio, graph_of(videos, "still_1", "still_2", "still_3", name="best again"))
    assert again["check"]["clip"] == [first["check"]["clip"][0] | {"reused": True}]


def test_a_chosen_take_stays_while_it_holds_though_it_fails(studio: Studio, videos: dict[str, str]) -> None:
    """The last one has let go: it is for another video."""
    (clip,) = run(studio, graph_of(videos, "still_1"))["clip"]["checkpoint"]
    for take, stays in (
        (clip["key"], True),
        (f"{clip['key']}@{clip['key']}", True),
        (f"{'0' * 24}@{'1' * 24}", False),
    ):
        nodes = graph_of(videos, "still_1", "moving", name="chosen")
        nodes["clip"]["inputs"]["take"] = take
        outputs = run(studio, nodes)
        assert ("retake_1" not in outputs) is stays
        assert (outputs["check"]["clip"][0]["key"] == clip["key"]) is stays


def test_what_another_seed_cannot_help_requests_no_retake(studio: Studio, videos: dict[str, str]) -> None:
    nodes = graph_of(videos, "voiceless", "moving", name="voiceless")
    outputs = run(studio, nodes)
    assert "retake_1" not in outputs
    (about,) = outputs["check"]["check"]
    assert about["verdict"] == "fail" and about["findings"][0]["figure"] == "lengths.difference"
    assert outputs["check"]["warnings"][0].startswith("The clip fails: ")


def in_memory(nodes: Nodes, link: list[Any], **inputs: Any) -> Nodes:
    """The graph with a video in memory, as stock nodes make it, in place of the clip."""
    parts = {"video": link} | inputs
    made = {"parts": node("GetVideoComponents", **parts)}
    made["clip"] = node("CreateVideo", images=["parts", 0], fps=float(FPS))
    return nodes | made


def test_a_gap_between_retakes_and_a_video_in_memory(studio: Studio, videos: dict[str, str]) -> None:
    nodes = in_memory(graph_of(videos, "still_1", "still_3", "moving", name="gap"), ["load", 0])
    del nodes["check"]["inputs"]["retake_1"]
    saved = studio.server.workspace / "temp"
    before = set(saved.rglob("*.mp4"))
    outputs = run(studio, nodes)
    (about,) = outputs["check"]["check"]
    assert [take["verdict"] for take in about["takes"]] == ["fail", "pass"]
    assert about["kept"] == outputs["retake_2"]["checkpoint"][0]["key"] and "retake_1" not in outputs
    # It is looked at three times: by itself, with the retake, and in the end.
    assert len(set(saved.rglob("*.mp4")) - before) == 1


def test_a_clip_that_cannot_be_checked_is_passed_on(studio: Studio, videos: dict[str, str]) -> None:
    odd = {"cropped": node("ImageCrop", image=["parts", 0], width=127, height=95, x=0, y=0)}
    nodes = odd | in_memory(graph_of(videos, "moving", "still_1", name="odd"), ["load", 0])
    nodes["clip"]["inputs"]["images"] = ["cropped", 0]
    nodes["passed"] = node("GetVideoComponents", video=["check", 0])
    nodes["saved"] = node("SaveImage", images=["passed", 0], filename_prefix="odd")
    outputs = run(studio, nodes)
    (about,), (warning,) = outputs["check"]["check"], outputs["check"]["warnings"]
    assert (about["verdict"], about["findings"], about["kept"]) == ("warn", [], None)
    assert warning.startswith("odd could not be checked and is passed on as it is (")
    assert about["figures"]["missing"] == about["takes"][0]["reasons"] == [warning]
    # No other seed is tried for it, and its frames are those that came in.
    assert "retake_1" not in outputs and len(outputs["saved"]["images"]) == round(2.5 * FPS)
    with Image.open(studio.server.output / outputs["saved"]["images"][0]["filename"]) as image:
        assert image.size == (127, 95)
