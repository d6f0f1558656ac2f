"""Masters on the server: nodes run for a few frames at a time, with the result of all frames at once."""

from __future__ import annotations

import json
import uuid
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from driver.comfy.events import Event, Executed, Executing, Failed, Finished, Progress
from story_studio.media.clip_frames import rgb_pixels, yuv_frames
from story_studio.media.footage import read_footage
from story_studio.media.master import MasterWriter, Target
from story_studio.media.probe import probe
from story_studio.story.graph import Graph, Owner
from story_studio.story.masters import Mastering, add_master
from story_studio.story.recipes import FOLDER, load_recipe
from tests.media.test_master import audio_packets, write_clip
from tests.studio import Studio

FRAMES = 72
"""Windows of 4, 32, 32 and 4."""
Nodes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("masters") / "master_clip.mp4", FRAMES)


@pytest.fixture
def name(studio: Studio, clip: Path) -> str:
    return studio.comfy.upload(clip, clip.name)


def node(cls: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls, "inputs": inputs}


def master_graph(name: str, end: str, width: int = 0, fps: str = "as rendered", **nodes: Any) -> Nodes:
    """A Master named by `name`, with these nodes after its Clip Frames; `end` is the last of them."""
    settings = {"interpolation": "motion", "match_color": False, "name": "master"}
    return {
        "load": node("LoadVideo", file=name),
        "frames": node("StoryStudio_ClipFrames", clip=["load", 0], fps="as rendered", interpolation="recipe"),
        **nodes,
        "master": node(
            "StoryStudio_Master",
            clip=["load", 0],
            frames=[end, 0],
            width=width,
            height=width,
            fps=fps,
            **settings,
        ),
    }


def enlarged(name: str, side: int = 0, **nodes: Any) -> Nodes:
    """Each frame on its own is enlarged; with another `side` the key is another one."""
    scale = node(
        "ImageScale",
        image=["frames", 0],
        upscale_method="bicubic",
        width=160 + side,
        height=128,
        crop="disabled",
    )
    return master_graph(name, "enlarged", 64, **nodes, enlarged=scale)


def run(studio: Studio, graph: Nodes) -> list[Event]:
    return list(studio.comfy.run(graph))


def result(studio: Studio, events: list[Event], folder: Path, node: str = "master") -> Path:
    """The file of a master, as the server reports it at the end."""
    assert isinstance(events[-1], Finished) and events[-1].status == "success", events
    output = events[-1].outputs[node]
    assert [event.output for event in events if isinstance(event, Executed) and event.node == node] == [
        output
    ]
    (item,) = output["images"]
    return studio.comfy.fetch(item, folder / f"{uuid.uuid4().hex}.mp4")


def pixels(path: Path) -> np.ndarray:
    return np.stack(list(rgb_pixels(yuv_frames(path, read_footage(path)))))


def frames_of(clip: Path) -> torch.Tensor:
    return torch.from_numpy(pixels(clip)).float().div_(255)


def whole(path: Path, clip: Path, frames: torch.Tensor, rate: Fraction, target: Target) -> np.ndarray:
    """The master of frames that are changed all at once."""
    with MasterWriter(path, clip, target) as writer:
        for frame in (frames.clamp(0, 1) * 255).round().byte().numpy():
            writer.write(av.VideoFrame.from_ndarray(frame, format="rgb24"), rate)
    return pixels(path)


def test_interpolated_windows_are_the_whole_clip(
    studio: Studio, name: str, clip: Path, tmp_path: Path
) -> None:
    blend = node("TestInterpolate", images=["frames", 0], multiplier=["frames", 2])
    graph = master_graph(name, "blend", fps="24", blend=blend)
    path = result(studio, run(studio, graph), tmp_path)
    assert audio_packets(path) == audio_packets(clip)
    given = frames_of(clip)
    parts = [given[:-1] + (given[1:] - given[:-1]) * (step / 3) for step in range(3)]
    between = torch.cat([torch.stack(parts, 1).flatten(0, 1), given[-1:]])
    target = Target(128, 96, Fraction(24), FRAMES * 3 // 2)
    expected = whole(tmp_path / "whole.mp4", clip, between, Fraction(48), target)
    assert pixels(path).shape == expected.shape
    # A frame that was shown at another time differs by far more.
    assert np.abs(pixels(path).astype(int) - expected).mean() < 0.1


def test_a_shipped_recipe_enlarges_a_clip(studio: Studio, tmp_path: Path) -> None:
    from spandrel import ModelLoader

    clip = write_clip(tmp_path / "short_clip.mp4", 5)
    graph, owner = Graph(), Owner("film", None)
    load = graph.add(owner, "clip", "LoadVideo", file=studio.comfy.upload(clip, clip.name))
    recipe = load_recipe(FOLDER / "upscale_model_frames.json", "frames")
    end = add_master(graph, owner, load, Mastering(upscale=recipe), "master")
    path = result(studio, run(studio, graph.nodes), tmp_path, end.node)
    info = probe(path)
    assert (info.width, info.height, info.fps, info.frames) == (512, 384, 16, 5)
    folder = studio.server.models
    assert folder
    (file,) = (folder / "upscale_models").iterdir()
    model: Any = ModelLoader().load_from_file(file).eval()
    with torch.inference_mode():
        large = torch.cat([model(frame[None].movedim(-1, 1)).movedim(1, -1) for frame in frames_of(clip)])
    target = Target(512, 384, Fraction(16), 5)
    expected = whole(tmp_path / "whole.mp4", clip, large, Fraction(16), target)
    assert np.abs(pixels(path).astype(int) - expected).mean() < 0.1


def test_the_shipped_interpolation_is_that_of_the_whole_clip(studio: Studio, tmp_path: Path) -> None:
    if "FrameInterpolate" not in studio.comfy.object_info():
        pytest.skip("ComfyUI has nodes that interpolate frames since 0.33")
    clip = write_clip(tmp_path / "moving_clip.mp4", 9)
    graph, owner = Graph(), Owner("film", None)
    load = graph.add(owner, "clip", "LoadVideo", file=studio.comfy.upload(clip, clip.name))
    recipe = load_recipe(FOLDER / "interpolation_model_frames.json", "frames")
    end = add_master(graph, owner, load, Mastering(fps=24, interpolation=recipe), "master")
    last = graph.nodes[end.node]["inputs"]["frames"]
    graph.nodes["save"] = node("SaveImage", images=last, filename_prefix="interpolated")
    events = run(studio, graph.nodes)
    path = result(studio, events, tmp_path, end.node)
    assert isinstance(events[-1], Finished)
    saved = [
        studio.comfy.fetch(item, tmp_path / item["filename"]) for item in events[-1].outputs["save"]["images"]
    ]
    assert len(saved) == 8 * 3 + 1
    # SaveImage rounds down.
    images = (
        torch.stack([torch.from_numpy(np.array(Image.open(one))) for one in saved])
        .float()
        .add_(0.5)
        .div_(255)
    )
    target = Target(128, 96, Fraction(24), 14)
    expected = whole(tmp_path / "whole.mp4", clip, images, Fraction(48), target)
    assert np.abs(pixels(path).astype(int) - expected).mean() < 1.5


def test_windows_run_one_after_the_other_and_one_bar_counts_them(studio: Studio, name: str) -> None:
    events = run(studio, enlarged(name))
    assert isinstance(events[-1], Finished) and events[-1].status == "success"
    values = [event.value for event in events if isinstance(event, Progress) and event.max == 1000]
    assert {event.node for event in events if isinstance(event, Progress)} <= {"load", "master"}
    assert {event.node for event in events if isinstance(event, Executing)} <= {"load", "master"}
    assert len(set(values)) == 4 and values == sorted(values)


def test_what_is_finished_runs_nothing_upstream(studio: Studio, name: str, tmp_path: Path) -> None:
    graph = enlarged(name, side=2)
    first = result(studio, run(studio, graph), tmp_path)
    studio.comfy.free()
    graph["master"]["inputs"]["name"] = "another_name"
    events = run(studio, graph)
    assert first.read_bytes() == result(studio, events, tmp_path).read_bytes()
    assert (
        isinstance(events[-1], Finished) and events[-1].outputs["master"]["checkpoint"][0]["reused"] is True
    )
    assert [event.node for event in events if isinstance(event, Executing)] == ["master"]


def test_two_masters_in_one_prompt_do_not_mix(studio: Studio, name: str, tmp_path: Path) -> None:
    graph = enlarged(name, side=4)
    graph["inverted"] = node("ImageInvert", image=["enlarged", 0])
    graph["second"] = node("StoryStudio_Master", **graph["master"]["inputs"] | {"frames": ["inverted", 0]})
    events = run(studio, graph)
    one, other = (pixels(result(studio, events, tmp_path, end)) for end in ("master", "second"))
    assert np.abs(255 - one.astype(int) - other).mean() < 5


def test_the_failure_of_a_window_leaves_no_file(studio: Studio, name: str, tmp_path: Path) -> None:
    marker = tmp_path / "failed"
    graph = enlarged(
        name, side=6, broken=node("TestRaise", image=["enlarged", 0], message=str(marker), when="fail")
    )
    graph["master"]["inputs"]["frames"] = ["broken", 0]
    (failed,) = [event for event in run(studio, graph) if isinstance(event, Failed)]
    assert failed.node == "master" and str(marker) in failed.message
    assert parts(studio) == []
    graph["broken"]["inputs"]["when"] = "never"
    result(studio, run(studio, graph), tmp_path)


def test_an_interrupted_master_leaves_no_file(studio: Studio, name: str) -> None:
    graph, prompt = enlarged(name, side=8), str(uuid.uuid4())
    status = ""
    for event in studio.comfy.run(graph, prompt_id=prompt):
        if isinstance(event, Progress) and event.max == 1000 and event.value < 900:
            studio.comfy.interrupt(prompt)
        status = event.status if isinstance(event, Finished) else status
    assert status == "interrupted"
    assert parts(studio) == []


def parts(studio: Studio) -> list[Path]:
    return list((studio.server.workspace / "output").rglob("*.part*"))


@pytest.mark.parametrize(
    ("linked", "message"),
    [
        ({"frames": ["other", 0]}, "have to come from one Clip Frames node"),
        ({"clip": ["second", 0]}, "link the same clip to both"),
        ({"frames": ["cut", 0]}, "a Master needs as many"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    studio: Studio, name: str, linked: dict[str, Any], message: str
) -> None:
    graph = enlarged(name, side=10)
    graph["other"] = node("EmptyImage", width=64, height=64, batch_size=FRAMES, color=0)
    graph["cut"] = node("ImageFromBatch", image=["enlarged", 0], batch_index=1, length=2)
    graph["second"] = node("StoryStudio_Clip", video=["load", 0], name="second")
    graph["master"]["inputs"] |= linked
    (failed,) = [event for event in run(studio, graph) if isinstance(event, Failed)]
    assert failed.node == "master" and message in failed.message


def test_clip_frames_alone_gives_frames_rate_and_multiplier(studio: Studio, name: str) -> None:
    graph = {
        "load": node("LoadVideo", file=name),
        "frames": node("StoryStudio_ClipFrames", clip=["load", 0], fps="24", interpolation="recipe"),
        "show": node("PreviewImage", images=["frames", 0]),
        "fps": node("PreviewAny", source=["frames", 1]),
        "multiplier": node("PreviewAny", source=["frames", 2]),
    }
    events = run(studio, graph)
    assert isinstance(events[-1], Finished)
    outputs = events[-1].outputs
    assert len(outputs["show"]["images"]) == FRAMES
    assert [outputs[key]["text"] for key in ("fps", "multiplier")] == [["16.0"], ["3"]]


def test_the_drift_is_reported_with_the_master_and_in_its_file(
    studio: Studio, name: str, tmp_path: Path
) -> None:
    graph = master_graph(name, "frames")
    del graph["master"]["inputs"]["frames"], graph["frames"]
    graph["master"]["inputs"]["match_color"] = True
    events = run(studio, graph)
    path = result(studio, events, tmp_path)
    assert isinstance(events[-1], Finished)
    (drift,) = events[-1].outputs["master"]["drift"]
    assert drift["corrected"] is False and [one["chunk"] for one in drift["drift"]] == [0]
    assert json.loads(probe(path).metadata["story_studio"]) == drift
