"""Batches with every kind of scene: on the real server, as drafts, with what is sent by strangers."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import shutil
import wave
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import av
import numpy as np
import pytest
from PIL import Image

from driver.comfy.instance import ComfyInstance
from driver.paths import ROOT
from driver.rendering.prepare import prepare
from driver.runpod.inputs import job_input, reachable
from driver.storage.folder import FolderStore
from driver.voices.speak import Spoken
from driver.worker import scene_schema, schema, story_run, sweep
from driver.worker.jobs import Worker
from story_studio.story import recipes
from story_studio.story.problems import Problems
from story_studio.story.recipes import FOLDER
from story_studio.story.results import STORE, Kind
from tests.rendering.test_characters import write_recipe
from tests.studio import Studio
from tests.voices import write_voice

SECRET = "saffron"
"""A word in every prompt and description."""


def data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def write_clip(path: Path, seconds: float = 1.5) -> Path:
    """A clip of 64x48 at 24 frames a second, with sound."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = file.add_stream("aac", rate=16_000, layout="mono")
        for number in range(round(seconds * 24)):
            pixels = np.full((48, 64, 3), number * 7 % 256, np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        tone = 8000 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * 16_000)) / 16_000)
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = 16_000
        file.mux(audio.encode(frame))
        file.mux([*video.encode(None), *audio.encode(None)])
    return path


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """A voice, a clip and an image, as data URIs."""
    Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / "mara.png")
    return {
        "voice": data_uri(write_voice(tmp_path / "voice.wav", 0.5), "audio/wav"),
        "clip": data_uri(write_clip(tmp_path / "shot.mp4"), "video/mp4"),
        "image": data_uri(tmp_path / "mara.png", "image/png"),
    }


def batch(sources: dict[str, str]) -> dict[str, Any]:
    """The example of the endpoint's page, one scene of each kind, as a small draft."""
    page = (ROOT / ".runpod" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    for suffix, source in ((".mp3", "voice"), (".mp4", "clip"), (".png", "image")):
        example = re.sub(rf"https://example[.]com/\w+{re.escape(suffix)}", sources[source], example)
    job = json.loads(example)
    assert "example.com" not in json.dumps(job)
    for part in (*job["characters"].values(), *job["scenes"]):
        name = "description" if "description" in part else "prompt"
        part[name] = f"{part.get(name, '')} {SECRET}"
    del job["scenes"][3]["prompt"]
    return {**job, "profile": "draft", "video_settings": {"resolution": "72x128"}}


def local(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def test_a_batch_with_every_kind_of_scene_hidden_prompts_and_a_bad_clip(
    studio: Studio,
    sources: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HIDE_PROMPTS", "1")
    store = FolderStore(tmp_path / "store")
    worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
    job, messages = batch(sources), list[dict[str, Any]]()
    answer = worker.run("job-kinds", job, messages.append)
    assert answer["status"] == "complete", answer
    scenes = {scene["id"]: scene for scene in answer["scenes"]}
    shots = ["dialogue.0", "dialogue.1", "dialogue.2"]
    assert list(scenes) == ["talking", "narrated", "silent", "own", "spoken", *shots]
    kinds = {name: scene.get("kind") for name, scene in scenes.items()}
    assert kinds == {
        "talking": None,
        "narrated": "narrated",
        "silent": "silent",
        "own": "clip",
        "spoken": None,
        "dialogue.0": "silent",
        "dialogue.1": None,
        "dialogue.2": None,
    }
    assert [scene.get("of") for scene in scenes.values()] == [None] * 5 + ["dialogue"] * 3
    assert scenes["silent"]["duration"] == pytest.approx(2, abs=1 / 16)
    assert scenes["own"]["duration"] == pytest.approx(1, abs=1 / 12)
    # Only what was spoken here has a voice to fetch.
    assert [name for name, scene in scenes.items() if "voice_url" in scene] == ["spoken", "dialogue.1"]
    with wave.open(str(local(scenes["spoken"]["voice_url"]))) as voice:
        spoken = voice.getnframes() / voice.getframerate()
    assert scenes["spoken"]["duration"] == pytest.approx(spoken, abs=1 / 8) and spoken > 0.5
    assert "voices" in {message["phase"] for message in messages}
    # Other workers find what was spoken, and sweeps know it.
    shared = store.keys("checkpoints")
    assert sum(key.startswith("checkpoints/voices/") for key in shared) == 2
    assert all(sweep._RESULT.fullmatch(key) for key in shared)
    # Nothing that is stored says what is shown, and nothing that is logged what is said.
    for key in store.keys(""):
        if not key.endswith((".srt", ".vtt", "film.mp4")):
            assert SECRET.encode() not in local(store.url(key)).read_bytes(), key
    assert SECRET not in caplog.text and "Who is there" not in caplog.text
    # Another worker finds all of it, and one bad clip affects only its scene.
    bad = json.loads(json.dumps(job))
    bad["scenes"][3]["clip_url"] = "data:video/mp4;base64,AAAA"
    monkeypatch.setenv("HIDE_PROMPTS", "0")
    bad["film"] = {"partial": True}
    other = Worker(ComfyInstance(studio.comfy), store, tmp_path / "other").run("job-bad", bad)
    assert (other["status"], other["made"]["stills"], other["made"]["clips"]) == ("partial", 0, 0), other
    (failed,) = (scene for scene in other["scenes"] if "error" in scene)
    assert failed["id"] == "own" and failed["error"].startswith("scenes[3].clip: the data")


HOSTILE = [
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1/clip.mp4",
    "http://169.254.169.254/latest/meta-data",
    "concat:/etc/passwd|/etc/hostname",
    "../../etc/passwd",
    "data:application/x-mpegurl;base64," + base64.b64encode(b"#EXTM3U\nfile:///etc/passwd\n").decode(),
    "data:video/mp4;base64," + base64.b64encode(b"ffconcat version 1.0\nfile /etc/passwd\n").decode(),
    "data:image/svg+xml;base64,"
    + base64.b64encode(b"<svg><image href='file:///etc/passwd'/></svg>").decode(),
    "data:text/html;base64," + base64.b64encode(b"<html>root:</html>").decode(),
    "data:video/mp4;base64," + base64.b64encode(b"\0" * 5000).decode(),
]


def test_hostile_clips_and_references_are_refused_without_being_opened(
    studio: Studio, sources: dict[str, str], tmp_path: Path
) -> None:
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    scenes = [{"id": f"s{number}", "clip": clip} for number, clip in enumerate(HOSTILE)]
    answer = worker.run("job-hostile", {"task": "batch", "profile": "draft", "scenes": scenes})
    assert [detail["where"] for detail in answer["details"]] == [
        f"scenes[{number}].clip" for number in range(len(HOSTILE))
    ], answer
    assert "root:x" not in json.dumps(answer) and "Traceback" not in json.dumps(answer)
    scene = {"id": "a", "prompt": "{mara}", "audio": sources["voice"]}
    for hostile in HOSTILE:
        characters = {"mara": {"reference": hostile}}
        job = {"task": "batch", "profile": "draft", "scenes": [scene], "characters": characters}
        answer = worker.run("job-reference", job)
        assert answer["details"][0]["where"] == "characters.mara.reference", answer
        assert "root:x" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("image_settings", {"reference_workflow": "/etc/passwd"}, "reference_workflow: names a local file"),
        ("image_settings", {"workflow": "../z_image_base_still.json"}, "workflow: names a local file"),
        ("image_settings", {"workflow": "s2v_clip.json"}, "image_settings.workflow: "),
        ("video_settings", {"narrated_workflow": "profiles.json"}, "video_settings.narrated_workflow: "),
        ("voice_settings", {"workflow": "tts.json"}, "voice_settings.workflow: names a local file"),
        ("image_settings", {"loras": ["../../etc/passwd"]}, "is outside models/loras"),
        ("image_settings", {"loras": ["C:\\a.safetensors"]}, "is outside models/loras"),
    ],
)
def test_recipes_and_loras_are_those_of_the_endpoint(
    studio: Studio,
    sources: dict[str, str],
    tmp_path: Path,
    section: str,
    value: dict[str, Any],
    message: str,
) -> None:
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    scene = {"id": "a", "prompt": "p", "audio": sources["voice"]}
    job = {"task": "batch", "profile": "draft", "scenes": [scene], section: value}
    answer = worker.run("job-recipes", job)
    assert message in answer["error"] and str(tmp_path) not in answer["error"]
    assert "root:x" not in answer["error"]


def test_a_shipped_recipe_may_be_named(studio: Studio, sources: dict[str, str], tmp_path: Path) -> None:
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    scene = {"id": "a", "prompt": "p", "kind": "narrated", "audio": sources["voice"]}
    settings = {"resolution": "64x64", "narrated_workflow": "animatic_clip.json"}
    job = {"task": "batch", "profile": "draft", "scenes": [scene], "video_settings": settings}
    answer = worker.run("job-shipped", job)
    assert answer["status"] == "complete", answer


def test_a_character_s_sheet_is_returned_and_its_take_is_taken_again(
    studio: Studio, sources: dict[str, str], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / "recipes")
    name = write_recipe(tmp_path / "recipes")
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "recipes")
    scene = {"id": "a", "prompt": "{mara} at the window", "seconds": 0.5}
    mara = {"description": f"a keeper, {SECRET}"}
    job: dict[str, Any] = {"task": "batch", "project_id": "sheet", "profile": "turbo", "scenes": [scene]}
    job |= {"image_settings": {"steps": 1, "reference_workflow": name}, "characters": {"mara": mara}}
    job |= {"video_settings": {"resolution": "64x64"}}
    monkeypatch.setenv("HIDE_PROMPTS", "1")
    store = FolderStore(tmp_path / "store")
    worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
    answer = worker.run("job-sheet", job)
    assert answer["status"] == "complete", answer
    sheet = answer["characters"]["mara"]
    content = local(sheet["sheet_url"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sheet["sheet_sha256"] and SECRET.encode() not in content
    manifest = json.loads(local(answer["manifest_url"]).read_bytes())
    assert manifest["characters"][0]["sheet"]["sha256"] == sheet["sheet_sha256"]
    assert SECRET not in json.dumps(manifest)
    # Another worker gets it from the store, and an approved one stays the character's.
    for path in (studio.server.output / STORE / Kind.STILL.folder).glob("sheet_mara_sheet.*"):
        path.unlink()
    mara["reference_take"] = sheet["sheet_take"]
    again = Worker(ComfyInstance(studio.comfy), store, studio.server.output).run("job-again", job)
    assert again["status"] == "complete", again
    assert again["characters"]["mara"]["sheet_take"] == sheet["sheet_take"]
    assert (again["made"]["stills"], again["reused"]["stills"]) == (0, 1)
    # Its own image takes the place of a sheet.
    mara |= {"reference": sources["image"], "reference_take": None}
    own = Worker(ComfyInstance(studio.comfy), store, studio.server.output).run("job-own", job)
    assert own["status"] == "complete", own
    assert own["made"]["stills"] == 1 and "characters" not in own


def test_a_worker_without_voices_says_so_before_it_renders(
    studio: Studio, sources: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story_run, "voices", lambda _: [])
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    messages: list[dict[str, Any]] = []
    answer = worker.run("job-mute", batch(sources), messages.append)
    first, detail = answer["details"]
    assert first["where"] == "scenes[4].text" and detail["where"] == "scenes[5].lines[0].text"
    assert detail["what"].startswith("is to be spoken, and this worker has no voices: send a recording")
    assert not messages


def test_the_schema_s_examples_are_scenes_of_every_kind() -> None:
    characters = {"mara": {"description": "a keeper"}, "tom": {"description": "a sailor"}}
    job = schema.parse({"task": "batch", "scenes": scene_schema.SCENES, "characters": characters})
    assert isinstance(job, schema.BatchJob)
    kinds = [scene.kind_of for scene in job.scenes if not scene.dialogue]
    assert kinds == ["talking", "narrated", "silent", "clip", "talking"]
    with pytest.raises(Problems, match="'mara' is not in `characters`"):
        schema.parse({"task": "batch", "scenes": scene_schema.SCENES})


def test_prompts_that_are_left_to_be_written_are_not_rendered(
    studio: Studio, sources: dict[str, str], tmp_path: Path
) -> None:
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    scene = {"id": "a", "prompt": "FILL IN: what the image shows", "audio": sources["voice"]}
    answer = worker.run("job-unwritten", {"task": "batch", "profile": "turbo", "scenes": [scene]})
    assert answer["error"].startswith('scenes[0].prompt: begins with "FILL IN"')


def test_what_a_story_has_on_this_machine_is_sent(tmp_path: Path, sources: dict[str, str]) -> None:
    """Clips, references and the voices that were spoken, and recipes by the names that an endpoint knows."""
    voice = write_voice(tmp_path / "spoken.wav", 0.5)
    story = {
        "profile": "turbo",
        "characters": {"mara": {"description": "a keeper", "reference": "mara.png", "voice": "a/b"}},
        "image_settings": {"reference_workflow": "qwen_image_edit_still.json"},
        "voice_settings": {"voice": "hibari/heart"},
        "scenes": [
            {"id": "own", "clip": "shot.mp4", "from": 0.5},
            {"id": "still", "prompt": "a pier", "seconds": 2},
            {"id": "talk", "prompt": "a room", "lines": [{"character": "mara", "text": "Who is there?"}]},
        ],
    }
    (tmp_path / "tale.json").write_text(json.dumps(story))
    (tmp_path / "downloads").mkdir()
    spoken = Spoken({"talk.1": voice})
    (plan,) = prepare([tmp_path / "tale.json"], None, tmp_path / "downloads", lambda *_: spoken)
    sent = job_input(reachable(plan))
    job = schema.parse(json.loads(json.dumps(sent)))
    assert isinstance(job, schema.BatchJob) and "voice_settings" not in sent
    # A voice that says nothing there would be warned of.
    assert "voice" not in sent["characters"]["mara"]
    own, silent, shot = job.scenes
    assert (own.clip, own.start, own.kind_of) == (sources["clip"], 0.5, "clip")
    assert (silent.kind_of, silent.seconds, silent.audio) == ("silent", 2, None)
    assert (shot.id, shot.text, shot.is_spoken) == ("talk.1", "Who is there?", False)
    assert shot.audio == data_uri(voice, "audio/wav")
    assert job.characters["mara"].reference == sources["image"]
    assert job.image_settings.reference_workflow == "qwen_image_edit_still.json"
    # A draft reads no reference, so none is sent.
    (tmp_path / "again").mkdir()
    (plan,) = prepare([tmp_path / "tale.json"], "draft", tmp_path / "again", lambda *_: spoken)
    assert reachable(plan).characters["mara"].reference is None
    # A file of the same name that is another recipe stays here.
    shutil.copy(FOLDER / "z_image_base_still.json", tmp_path / "qwen_image_edit_still.json")
    (tmp_path / "third").mkdir()
    with pytest.raises(Problems, match="reference"):
        reachable(prepare([tmp_path / "tale.json"], None, tmp_path / "third", lambda *_: spoken)[0])
