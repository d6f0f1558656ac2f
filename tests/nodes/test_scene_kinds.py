"""Scenes of every kind in one graph: a clip of one's own, narrated, silent, and continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from driver.comfy.events import Finished
from story_studio.media.animatic import drifting_move
from story_studio.media.probe import probe
from story_studio.story.keys import Keys
from story_studio.story.results import Kind, key_in
from tests.media.numbered import HEIGHT, WIDTH, click_samples, numbers, pictures, write_numbered
from tests.studio import Studio
from tests.voices import write_voice

Nodes = dict[str, dict[str, Any]]


def node(cls: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls, "inputs": inputs}


def animatic(audio: str, image: str = "picture", **more: Any) -> dict[str, Any]:
    size = {"width": 128, "height": 64, "seed": 0}
    return node("StoryStudio_Animatic", audio=[audio, 0], image=[image, 0], **size, **more)


def scene(clip: str, film: str | None = None, **more: Any) -> dict[str, Any]:
    link = {"film": [film, 0]} if film else {}
    return node("StoryStudio_FilmScene", clip=[clip, 0], title=clip, text="", **link, **more)


def own(video: str, start: float = 0.0, end: float = 0.0, mute: bool = False, **more: Any) -> dict[str, Any]:
    return node("StoryStudio_OwnClip", video=[video, 0], start=start, end=end, mute=mute, **more)


@pytest.fixture
def graph(studio: Studio, tmp_path: Path) -> Nodes:
    """An own clip of 25 frames a second, two clips of an image, and a video from memory that goes on."""
    upload = studio.comfy.upload
    Image.fromarray(pictures([181])[0]).save(tmp_path / "kinds.png")
    Image.fromarray(pictures([90])[0]).save(tmp_path / "kinds_second.png")
    filmed = write_numbered(tmp_path / "kinds.mp4", 50, 25, [24_000, 60_000])
    film = {"join": "cut", "crossfade_seconds": 0.5, "chapters": True, "captions": True, "title": ""}
    return {
        "picture": node("LoadImage", image=upload(tmp_path / "kinds.png", "kinds.png")),
        "second": node("LoadImage", image=upload(tmp_path / "kinds_second.png", "kinds_second.png")),
        "voice": node("LoadAudio", audio=upload(write_voice(tmp_path / "kinds.wav", 1.0), "kinds.wav")),
        "silence": node("EmptyAudio", duration=0.75, sample_rate=48_000, channels=1),
        "filmed": node("LoadVideo", file=upload(filmed, "kinds.mp4")),
        "part": own("filmed", 0.4, 1.4),
        "narrated": animatic("voice", draft=False),
        "silent": animatic("silence", draft=False),
        "made": node("CreateVideo", images=["picture", 0], fps=16.0),
        "following": node("CreateVideo", images=["pair", 0], fps=16.0),
        "pair": node("ImageBatch", image1=["last", 0], image2=["second", 0]),
        "last": node("StoryStudio_VideoFrame", video=["made", 0], position="last"),
        "joined": node("StoryStudio_JoinVideos", video=["made", 0], next=["following", 0]),
        "voiced": own("joined", audio=["silence", 0]),
        **{f"clip_{name}": node("StoryStudio_Clip", video=[name, 0], name=name) for name in CLIPS},
        "scene_1": scene("clip_part"),
        "scene_2": scene("clip_narrated", "scene_1"),
        "scene_3": scene("clip_silent", "scene_2", chapter=False),
        "scene_4": scene("clip_voiced", "scene_3"),
        "film": node("StoryStudio_Film", film=["scene_4", 0], name="kinds", **film),
    }


CLIPS = ("part", "narrated", "silent", "voiced")


def test_a_film_of_every_kind_of_scene(studio: Studio, graph: Nodes, tmp_path: Path) -> None:
    log = studio.server.workspace / "server.log"
    before = len(log.read_text())
    *_, end = studio.comfy.run(graph)
    assert isinstance(end, Finished) and end.status == "success", end
    assert "The recording is silent" not in log.read_text()[before:]
    found = {}
    for name in (*(f"clip_{clip}" for clip in CLIPS), "film"):
        (item,) = end.outputs[name]["images"]
        found[name] = studio.comfy.fetch(item, tmp_path / f"{name}.mp4")
    part = found["clip_part"]
    assert numbers(part) == list(range(10, 35))
    assert click_samples(part) == pytest.approx([24_000 - 19_200, 60_000 - 19_200], abs=1)
    narrated, silent = probe(found["clip_narrated"]), probe(found["clip_silent"])
    assert (narrated.frames, silent.frames, silent.channels) == (16, 12, 1)
    assert not {"draft"} & (narrated.metadata.keys() | silent.metadata.keys())
    # The first frame of what follows is the last one before it; then its last one is held for the voice.
    assert numbers(found["clip_voiced"]) == [181, *[90] * 11]
    film = probe(found["film"])
    # Three seconds and a half of the highest rate.
    assert (film.fps, film.frames, len(film.chapters)) == (25, 25 + 25 + 19 + 19, 3)
    cut = json.loads(film.metadata["story_studio"])
    assert [shot["title"] for shot in cut["shots"]] == [f"clip_{name}" for name in CLIPS]


def test_a_clip_that_an_earlier_version_made_of_a_video_is_found(studio: Studio, tmp_path: Path) -> None:
    """Its key held the time of the video's file in place of the content."""
    name = studio.comfy.upload(write_numbered(tmp_path / "earlier.mp4", 6, 25, []), "earlier.mp4")

    def clip_of(title: str) -> Path:
        # Another name, so that ComfyUI's own cache does not answer.
        nodes = {"load": node("LoadVideo", file=name)}
        nodes["clip"] = node("StoryStudio_Clip", video=["load", 0], name=title)
        *_, end = studio.comfy.run(nodes)
        assert isinstance(end, Finished) and end.status == "success", end
        (item,) = end.outputs["clip"]["images"]
        return studio.server.output / item["subfolder"] / item["filename"]

    made = clip_of("earlier video")
    time = (studio.server.workspace / "input" / name).stat().st_mtime
    graph: Nodes = {
        "load": node("LoadVideo", file=name),
        "clip": node("StoryStudio_Clip", video=["load", 0], name="x"),
    }
    key = Keys(graph.__getitem__, lambda *_: None, lambda node: json.dumps([time])).of("clip")
    assert key_in(made.name) != key
    kept = made.rename(made.with_name(Kind.CLIP.file_name("earlier video", key)))
    assert clip_of("again") == kept


def test_a_moving_picture_moves_only_by_its_camera() -> None:
    """No mouth moves: each frame is a part of the image, enlarged by at most a fifth."""
    rows, columns = np.mgrid[0 : HEIGHT * 2, 0 : WIDTH * 2]
    image = np.stack([columns, rows * 2, np.full_like(rows, 60)], -1).astype(np.uint8)
    frames = np.stack(list(drifting_move(image, WIDTH, HEIGHT, 16 * 60, 16, seed=3))[::16]).astype(float)
    left, right = frames[:, 20:44, 2:6, 0].mean((1, 2)), frames[:, 20:44, -6:-2, 0].mean((1, 2))
    shown = (right - left) / (WIDTH - 8) * WIDTH / (WIDTH * 2)
    assert shown.min() > 0.83 and shown.max() < 1.01
    # Brightness is place: the same line everywhere in a frame, so nothing moves by itself.
    for frame in frames:
        across = np.arange(WIDTH)
        line = np.polyval(np.polyfit(across, frame[..., 0].mean(0), 1), across)
        assert np.abs(frame[..., 0] - line).max() < 2
    # A minute of narration is never still.
    assert np.abs(np.diff(frames, axis=0)).mean((1, 2, 3)).min() > 0.15
