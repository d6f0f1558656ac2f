"""Whole stories through the real server, the real nodes and the shipped recipes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import opentimelineio as otio
import pytest
import requests
import yaml
from PIL import Image

from driver.cli import main
from driver.comfy.events import Finished
from driver.terminal import OK
from story_studio.media.probe import probe
from tests.export.player import play
from tests.export.projects import frames_of
from tests.studio import Studio
from tests.voices import write_voice

VOICES = [1.0, 5.6, 0.5]
WriteStory = Callable[..., Path]


@pytest.fixture(scope="module")
def first(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A three-scene story of the profile `standard`, rendered once, with the server's records of it."""
    folder = tmp_path_factory.mktemp("first")
    scenes = [
        {
            "id": f"scene_{number}",
            "prompt": f"A keeper in room {number}",
            "text": f"This is room {number}. It is quiet here.",
            "audio": write_voice(folder / f"{number}.wav", seconds, 110 + 30 * number).name,
        }
        for number, seconds in enumerate(VOICES, start=1)
    ]
    story = {
        "project_id": "first",
        "title": "The first story",
        "profile": "standard",
        "scenes": scenes,
        "image_settings": {"steps": 2},
        "video_settings": {"sample_steps": 2, "resolution": "64x64"},
    }
    path = folder / "story.yaml"
    path.write_text(yaml.safe_dump(story, sort_keys=False))
    studio.comfy.free()
    studio.loads()
    studio.samples()
    status = studio.render(path, folder / "output")
    return {
        "path": path,
        "story": story,
        "status": status,
        "output": folder / "output" / "first",
        "loads": studio.loads(),
        "samples": studio.samples(),
        "manifest": json.loads((folder / "output" / "first" / "manifest.json").read_text()),
    }


def test_the_film_has_every_scene_in_full(first: dict[str, Any]) -> None:
    assert first["status"] == OK
    info = probe(first["output"] / "film.mp4")
    assert (info.width, info.height, info.fps) == (64, 64, 16)
    assert abs(info.video_seconds - info.audio_seconds) <= 1 / 16
    assert 0 <= info.video_seconds - sum(VOICES) <= len(VOICES) / 16
    assert (info.sample_rate, info.subtitles) == (48_000, 1)
    assert [chapter[2] for chapter in info.chapters] == ["scene_1", "scene_2", "scene_3"]
    assert info.metadata["title"] == "The first story"


def test_the_film_plays_on_the_web_and_is_neither_black_nor_silent(first: dict[str, Any]) -> None:
    path = first["output"] / "film.mp4"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as film:
        video, audio = film.streams.video[0], film.streams.audio[0]
        assert (video.codec.canonical_name, video.pix_fmt) == ("h264", "yuv420p")
        assert audio.codec.canonical_name == "aac"
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video)]
    assert len(frames) == round(probe(path).video_seconds * 16)
    assert all(frame.mean() > 20 and frame.std() > 3 for frame in frames)
    assert any(np.abs(a.astype(int) - b).mean() > 0.5 for a, b in zip(frames, frames[1:], strict=False))
    with av.open(str(path)) as film:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    for start in (0.1, 1.3, 6.7):
        assert np.abs(sound[int(start * 48_000) :][:12_000]).max() > 0.05


def test_each_model_file_is_read_once(first: dict[str, Any]) -> None:
    files = Counter(load["file"] for load in first["loads"])
    assert files == {
        "z_image_turbo_bf16.safetensors": 1,
        "qwen_3_4b.safetensors": 1,
        "ae.safetensors": 1,
        "wan2.2_s2v_14B_fp8_scaled.safetensors": 1,
        "umt5_xxl_fp8_e4m3fn_scaled.safetensors": 1,
        "wan_2.1_vae.safetensors": 1,
        "wav2vec2_large_english_fp16.safetensors": 1,
    }
    assert first["manifest"]["model_loads"] == files
    # The clips' models are loaded in the background, in another thread than the prompt's.
    threads = {load["thread"] for load in first["loads"] if load["file"].startswith("wan2.2")}
    assert threads.isdisjoint(load["thread"] for load in first["loads"] if load["file"].startswith("z_image"))
    # Reading starts before the last still is sampled, and the wait that remains is reported.
    last_still = max(sample["time"] for sample in first["samples"] if sample["kind"] == "Lumina2")
    assert next(load["time"] for load in first["loads"] if load["file"].startswith("wan2.2")) < last_still
    assert 0 < first["manifest"]["seconds"]["between"] < first["manifest"]["seconds"]["total"]


def test_all_stills_come_before_all_clips(first: dict[str, Any]) -> None:
    chunks = [1, 2, 1]
    assert [sample["kind"] for sample in first["samples"]] == ["Lumina2"] * 3 + ["WAN22_S2V"] * sum(chunks)


@pytest.mark.parametrize("kind", ["stills", "clips"])
def test_results_are_made_in_the_order_of_the_story(kind: str, first: dict[str, Any], studio: Studio) -> None:
    folder = studio.server.output / "story_studio" / kind
    times = [next(folder.glob(f"first_scene_{n}.*")).stat().st_mtime_ns for n in (1, 2, 3)]
    assert times == sorted(times)


def test_the_manifest_describes_the_results(first: dict[str, Any]) -> None:
    manifest, output = first["manifest"], first["output"]
    assert (manifest["status"], manifest["profile"]) == ("complete", "standard")
    for scene, seconds in zip(manifest["scenes"], VOICES, strict=True):
        for kind, name in (("still", f"{scene['id']}_img.png"), ("clip", f"{scene['id']}_video.mp4")):
            data = (output / name).read_bytes()
            assert scene[kind]["file"] == name
            assert scene[kind]["sha256"] == hashlib.sha256(data).hexdigest()
            assert scene[kind]["bytes"] == len(data)
        assert 0 <= scene["clip"]["seconds"] - seconds < 1 / 16 + 0.001
        assert scene["settings"]["clip"]["steps"] == 2
        assert scene["settings"]["clip"]["seed"] == scene["seed"]
        assert scene["seconds"] > 0
    assert (output / manifest["storyboard"]["file"]).read_bytes()[:2] == b"\xff\xd8"
    phases = manifest["seconds"]
    assert phases["stills"] + phases["clips"] + phases["films"] <= phases["total"] + 0.1


def test_the_timeline_of_a_rendered_story_shows_its_film(first: dict[str, Any], tmp_path: Path) -> None:
    words = ["export", str(first["path"]), "--to", "otio", "--output", str(first["output"].parent)]
    assert main([*words, "--into", str(tmp_path)]) == OK
    timeline = otio.adapters.read_from_file(str(tmp_path / "first-otio" / "first.otio"))
    shown = play(timeline.tracks[0], tmp_path / "first-otio")
    assert np.array_equal(shown, frames_of(first["output"] / "film.mp4"))
    assert [clip.name for clip in timeline.tracks[1]] == ["scene_1", "scene_2", "scene_3"]


def test_an_unchanged_story_renders_nothing(first: dict[str, Any], studio: Studio) -> None:
    studio.comfy.free()
    studio.loads()
    studio.samples()
    again = first["path"].parent / "again"
    assert studio.render(first["path"], again) == OK
    assert (studio.loads(), studio.samples()) == ([], [])
    assert (again / "first" / "film.mp4").read_bytes() == (first["output"] / "film.mp4").read_bytes()
    manifest = json.loads((again / "first" / "manifest.json").read_text())
    assert manifest["model_loads"] == {}
    assert all(scene["still"]["reused"] and scene["clip"]["reused"] for scene in manifest["scenes"])


def test_one_changed_prompt_renders_one_still_and_one_clip(first: dict[str, Any], studio: Studio) -> None:
    changed = json.loads(json.dumps(first["story"]))
    changed["scenes"][2]["prompt"] = "A keeper on the roof"
    path = first["path"].with_name("changed.yaml")
    path.write_text(yaml.safe_dump(changed))
    studio.samples()
    assert studio.render(path, path.parent / "changed") == OK
    assert [sample["kind"] for sample in studio.samples()] == ["Lumina2", "WAN22_S2V"]
    manifest = json.loads((path.parent / "changed" / "first" / "manifest.json").read_text())
    assert [scene["clip"]["reused"] for scene in manifest["scenes"]] == [True, True, False]


def test_another_order_renders_only_the_film(first: dict[str, Any], studio: Studio) -> None:
    reordered = json.loads(json.dumps(first["story"]))
    reordered["scenes"].reverse()
    path = first["path"].with_name("turned.yaml")
    path.write_text(yaml.safe_dump(reordered))
    studio.samples()
    assert studio.render(path, path.parent / "turned") == OK
    assert studio.samples() == []
    chapters = probe(path.parent / "turned" / "first" / "film.mp4").chapters
    assert [chapter[2] for chapter in chapters] == ["scene_3", "scene_2", "scene_1"]


def test_the_printed_graph_makes_the_same_film(
    first: dict[str, Any], studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", str(first["path"]), "--server", studio.url]) == OK
    graph = json.loads(capsys.readouterr().out)
    body = {"prompt": graph, "client_id": "someone"}
    response = requests.post(f"{studio.url}/prompt", json=body, timeout=30).json()
    assert response["node_errors"] == {}
    *_, finished = studio.comfy.follow(response["prompt_id"], "someone")
    assert isinstance(finished, Finished)
    film = next(node for node in graph if graph[node]["class_type"] == "StoryStudio_Film")
    path = studio.comfy.fetch(finished.outputs[film]["images"][0], first["path"].parent / "posted.mp4")
    assert path.read_bytes() == (first["output"] / "film.mp4").read_bytes()


def test_a_story_of_odd_images_has_a_film_of_its_size(studio: Studio, tmp_path: Path) -> None:
    """A small first image, an animation and one that is turned and transparent; what is finished is found."""
    Image.new("RGB", (130, 70), "red").save(tmp_path / "small.png")
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("green", "blue", "red")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGBA", (300, 400), (0, 0, 0, 0)).save(tmp_path / "turned.png", exif=turned)
    voice = write_voice(tmp_path / "v.wav", 0.5).name
    scenes: list[dict[str, Any]] = [
        {"id": f"scene_{number}", "image": name, "audio": voice}
        for number, name in enumerate(("small.png", "moving.gif", "turned.png"))
    ]
    scenes.append({"id": "drawn", "prompt": "A pier", "audio": voice})
    story = {"project_id": "odd", "profile": "draft", "scenes": scenes}
    story["video_settings"] = {"resolution": "400x300"}
    (path := tmp_path / "odd.yaml").write_text(yaml.safe_dump(story))
    assert studio.render(path, tmp_path / "output") == OK
    output = tmp_path / "output" / "odd"
    sizes = [probe(output / f"scene_{number}_video.mp4") for number in range(3)]
    assert [(info.width, info.height) for info in sizes] == [(192, 128), (320, 256), (320, 256)]
    info = probe(output / "film.mp4")
    assert (info.width, info.height, info.fps, info.frames) == (384, 256, 16, 32)
    with Image.open(output / "scene_1_img.png") as still:
        assert still.getpixel((200, 150)) == (0, 128, 0)
    with Image.open(output / "scene_2_img.png") as still:
        assert (still.size, still.getpixel((9, 9))) == ((400, 300), (255, 255, 255))
    warnings = " ".join(json.loads((output / "manifest.json").read_text())["warnings"])
    for expected in (
        "scene_0: small.png is small",
        "scene_1: moving.gif has several frames",
        "scene_2: turned.png is trans",
    ):
        assert expected in warnings
    first = json.loads((output / "manifest.json").read_text())
    assert studio.render(path, tmp_path / "output") == OK
    again = json.loads((output / "manifest.json").read_text())
    assert all(scene["clip"]["reused"] and scene["still"]["reused"] for scene in again["scenes"])
    assert again["film"]["reused"] and again["film"]["sha256"] == first["film"]["sha256"]


def test_the_inputs_of_a_printed_graph_are_copied_into_a_folder(
    first: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", str(first["path"]), "--inputs", str(tmp_path)]) == OK
    graph = json.loads(capsys.readouterr().out)
    named = [node["inputs"]["audio"] for node in graph.values() if node["class_type"] == "LoadAudio"]
    assert len(named) == 3
    assert all((tmp_path / name).is_file() for name in named)


@pytest.mark.parametrize(
    ("profile", "files"),
    [
        ("turbo", {"wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors"}),
        ("quality", {"z_image_bf16.safetensors", "wan2.2_s2v_14B_bf16.safetensors"}),
    ],
)
def test_the_other_profiles(
    profile: str, files: set[str], studio: Studio, write_story: WriteStory, tmp_path: Path
) -> None:
    studio.comfy.free()
    studio.loads()
    # With its own style: a still that another test rendered would be reused, and no model read.
    story = write_story([0.5], profile, style="in charcoal")
    assert studio.render(story, tmp_path / "output") == OK
    assert files <= {load["file"] for load in studio.loads()}
    assert probe(tmp_path / "output" / "tale" / "film.mp4").frames == 8


def test_several_stories_are_one_graph_with_one_swap(
    studio: Studio, write_story: WriteStory, tmp_path: Path
) -> None:
    tale = write_story([0.4, 0.3], style="in oil").rename(tmp_path / "one.yaml")
    other = write_story([0.4], project_id="other", style="in ink")
    studio.samples()
    status = main(
        ["render", str(tale), str(other), "--server", studio.url, "--output", str(tmp_path / "out")]
    )
    assert status == OK
    kinds = [sample["kind"] for sample in studio.samples()]
    assert kinds == ["Lumina2"] * 3 + ["WAN22_S2V"] * 3
    assert probe(tmp_path / "out" / "tale" / "film.mp4").frames == 7 + 5
    assert probe(tmp_path / "out" / "other" / "film.mp4").frames == 7


def test_a_scene_s_own_image_is_used(studio: Studio, write_story: WriteStory, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (256, 128), (200, 30, 30)).save(tmp_path / "own.png")
    path = write_story([0.5], "draft")
    story = yaml.safe_load(path.read_text())
    story["scenes"][0]["image"] = "own.png"
    path.write_text(yaml.safe_dump(story))
    assert studio.render(path, tmp_path / "output") == OK
    with Image.open(tmp_path / "output" / "tale" / "scene_1_img.png") as still:
        assert still.size == (256, 128)
        assert still.getpixel((5, 5)) == (200, 30, 30)


def test_drafts_are_marked_as_drafts(
    studio: Studio, write_story: WriteStory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    path = write_story([0.5, 0.7], "draft", film={"burned_captions": {"language": "de"}})
    assert studio.render(path, tmp_path / "output") == OK
    folder = tmp_path / "output" / "tale"
    with Image.open(folder / "scene_1_img.png") as still:
        assert still.info["draft"] == "true"
    assert probe(folder / "scene_1_video.mp4").metadata["draft"] == "true"
    assert probe(folder / "film.mp4").metadata["draft"] == "true"
    # What the Film says on its node is said here, too.
    warnings = json.loads((folder / "manifest.json").read_text())["warnings"]
    untranslated, without = (warning for warning in warnings if warning.startswith("film: "))
    assert untranslated.startswith("film: No captions are burned in where there is no translation to de")
    assert "the film has none" in without and without in capsys.readouterr().err
