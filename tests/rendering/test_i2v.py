"""A narrated scene through Wan2.2 I2V with tiny models, on a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import yaml

from story_studio.story.recipes import FOLDER
from tests.studio import Studio


def test_a_narrated_clip_is_as_long_as_its_voice(
    studio: Studio, write_story: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two segments, the second from the last frame of the first; each model is read once for both scenes."""
    nodes = json.loads((FOLDER / "wan22_i2v_clip.json").read_text("utf-8"))
    (length,) = (node for node in nodes.values() if node["_meta"]["title"] == "$length")
    length["inputs"]["value"] = 9
    (tmp_path / "short_clip.json").write_text(json.dumps(nodes))
    settings = {"narrated_workflow": "short_clip.json", "sample_steps": 2}
    path = write_story([1.0, 0.4], "draft", video_settings=settings)
    story = yaml.safe_load(path.read_text())
    for scene in story["scenes"]:
        scene["kind"] = "narrated"
    path.write_text(yaml.safe_dump(story, sort_keys=False))
    studio.comfy.free()
    studio.loads()
    studio.samples()

    assert studio.render(path, tmp_path / "out") == 0
    # The recipe of narrated scenes has $steps, though that of the profile's talking scenes does not.
    assert "has no effect" not in capsys.readouterr().err
    for number, seconds in ((1, 1.0), (2, 0.4)):
        with av.open(str(tmp_path / "out" / "tale" / f"scene_{number}_video.mp4")) as clip:
            (video,), (audio,) = clip.streams.video, clip.streams.audio
            frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video)]
            assert video.average_rate == 16 and len(frames) == pytest.approx(seconds * 16, abs=1)
            assert audio.duration and audio.time_base
            assert float(audio.duration * audio.time_base) == pytest.approx(seconds, abs=0.1)
    # Three segments, each with one step of either model.
    assert [run["steps"] for run in studio.samples()] == [1] * 6
    files = [load["file"] for load in studio.loads()]
    assert sum("i2v" in file for file in files) == 2 and len(files) == len(set(files))
