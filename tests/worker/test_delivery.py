"""How results reach the client: in the answer itself or at an address, without prompts if it is public."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import av
import pytest
from PIL import Image

from driver.comfy.instance import ComfyInstance
from driver.comfy.process import Server
from driver.paths import ROOT
from driver.rendering.manifest import read_manifest
from driver.runpod.results import fetch_results
from driver.storage.folder import FolderStore
from driver.worker import outputs, redact, uploads
from driver.worker.jobs import Worker
from driver.worker.settings import VARIABLES, WorkerSettings, comfy_flags
from driver.worker.volume import volume_report
from story_studio.story.problems import Problems
from story_studio.story.schema import parse
from tests.studio import Studio
from tests.voices import write_voice
from tests.worker.tools import empty_image, node, png, save

SECRET = "a hidden lagoon"


@pytest.fixture
def batch(tmp_path: Path) -> dict[str, Any]:
    """A batch of two scenes with a film."""
    voice = base64.b64encode(write_voice(tmp_path / "voice.wav", 0.5).read_bytes()).decode()
    scenes = [
        {"scene": number, "prompt": f"{SECRET}, {number}", "audio_url": f"data:audio/wav;base64,{voice}"}
        for number in (1, 2)
    ]
    scenes[0]["text"] = "It is late."
    small = {"profile": "draft", "language": "en", "video_settings": {"resolution": "64x64"}}
    return {"task": "batch", "project_id": "tale", "film": True, "scenes": scenes, **small}


def content(url: str) -> bytes:
    """What an address leads to."""
    if url.startswith("data:"):
        return base64.b64decode(url.partition(";base64,")[2])
    return Path(unquote(urlsplit(url).path)).read_bytes()


def files_of(answer: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Address and SHA-256 of each file that a batch names."""
    files = {
        f"{scene['id']} {kind}": (scene[f"{kind}_url"], scene[f"{kind}_sha256"])
        for scene in answer["scenes"]
        for kind in ("image", "video")
    }
    kinds = [kind for kind in ("film", "storyboard") if f"{kind}_url" in answer]
    files |= {kind: (answer[f"{kind}_url"], answer[f"{kind}_sha256"]) for kind in kinds}
    return {**files, "manifest": (answer["manifest_url"], None)}


def test_without_a_bucket_results_are_in_the_answer_and_what_is_too_large_is_kept(
    studio: Studio, batch: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = FolderStore(tmp_path / "volume", reachable=False)
    worker = Worker(ComfyInstance(studio.comfy), volume, tmp_path / "one")
    answer = worker.run("job-1", batch)
    assert answer["status"] == "complete" and "file:" not in json.dumps(answer)
    files = files_of(answer)
    assert len(files) == 7
    for url, sha256 in files.values():
        assert sha256 in (None, hashlib.sha256(content(url)).hexdigest())
    # On the volume is what other workers need, and no second copy for clients.
    kept = volume.keys("")
    assert {key.split("/")[1] for key in kept} == {"stills", "clips"}
    assert all(key.startswith("checkpoints/") for key in kept)
    for job in (
        {"task": "image", "profile": "draft", "prompt": "x", "width": 64, "height": 64},
        {**batch["scenes"][0], "image": f"data:image/png;base64,{png('red', 64)}"},
    ):
        job = {key: job[key] for key in job.keys() - {"scene", "prompt", "text"}} | {"profile": "draft"}
        single = worker.run("job-2", job)
        (url,) = (single[key] for key in ("image_url", "video_url") if key in single)
        assert hashlib.sha256(content(url)).hexdigest() == single["sha256"]
    # The client of this project reads such an answer, too.
    story = parse({key: batch[key] for key in batch.keys() - {"task"}})
    manifest = fetch_results(answer, story, tmp_path / "here", lambda _: None)
    assert manifest.status == "complete"
    assert (tmp_path / "here" / "film.mp4").read_bytes() == content(answer["film_url"])
    # The captions of the film come both ways.
    assert answer["captions"].keys() == {"film.en.srt", "film.en.vtt"}
    for name, url in answer["captions"].items():
        assert "It is late." in content(url).decode()
        assert (tmp_path / "here" / name).read_bytes() == content(url)
    monkeypatch.setattr(uploads, "MAX_INLINE", 40_000)
    refused = worker.run("job-1", batch)
    hint = "an answer holds 0.04 MB: set the endpoint's BUCKET_ variables, and answers have addresses instead"
    assert hint in refused["error"]
    # The sound of a second, twice, is more than this: that is known before anything is rendered.
    monkeypatch.setattr(uploads, "MAX_INLINE", 30_000)
    messages: list[dict[str, Any]] = []
    early = worker.run("job-1", batch, messages.append)
    assert "The recordings last 1 s" in early["error"] and "Nothing was rendered" in early["error"]
    assert {message["phase"] for message in messages} == {"inputs"}
    monkeypatch.undo()
    # With a bucket another worker makes nothing again.
    bucket = FolderStore(tmp_path / "bucket")
    found = Worker(ComfyInstance(studio.comfy), bucket, tmp_path / "two", volume).run("job-1", batch)
    entries = json.loads(content(found["manifest_url"]))["scenes"]
    assert [entry[kind]["reused"] for entry in entries for kind in ("still", "clip")] == [True] * 4


def test_a_workflow_s_files_that_do_not_fit_are_an_error_that_asks_for_a_bucket(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "store", reachable=False)
    worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
    monkeypatch.setattr(outputs, "MAX_INLINE", 100)
    answer = worker.run("job-3", {"workflow": {"1": empty_image(), "2": save("one")}})
    assert "set the endpoint's BUCKET_ variables" in answer["error"] and "MB" in answer["error"]
    assert answer["details"] == [{"where": "", "what": answer["error"]}]


def test_files_at_public_addresses_hold_no_prompts(
    studio: Studio, batch: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET_PUBLIC_URL", "https://cdn.example.com")
    store, output = FolderStore(tmp_path / "store"), tmp_path / "output"
    answer = Worker(ComfyInstance(studio.comfy), store, output).run("job-4", batch)
    assert "storyboard_url" not in answer
    assert "it shows the prompts" in answer["warnings"][0]
    for url, sha256 in files_of(answer).values():
        assert SECRET.encode() not in content(url)
        assert sha256 in (None, hashlib.sha256(content(url)).hexdigest())
    assert len(store.keys("checkpoints")) == 4
    for key in store.keys(""):
        assert SECRET.encode() not in content(store.url(key))
    (folder,) = output.iterdir()
    for name in ("scene_1_img.png", "scene_1_video.mp4", "film.mp4", "manifest.json"):
        assert SECRET.encode() in (folder / name).read_bytes()
    # The manifest tells of what is at the addresses, not of what is on the worker.
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "manifest.json").write_bytes(content(answer["manifest_url"]))
    manifest = read_manifest(tmp_path / "public")
    assert manifest and manifest.film and manifest.film.sha256 == answer["film_sha256"]
    assert [scene.still.sha256 for scene in manifest.scenes if scene.still] == [
        scene["image_sha256"] for scene in answer["scenes"]
    ]
    # Only the tags are gone.
    film = Path(unquote(urlsplit(answer["film_url"]).path))
    assert packets(film) == packets(folder / "film.mp4")
    with Image.open(folder / "scene_1_img.png") as private, Image.open(local_image(answer)) as public:
        assert private.tobytes() == public.tobytes() and "prompt" in private.info
        assert "prompt" not in public.info
    # What another worker finds in the store is used like any other result.
    monkeypatch.setenv("HIDE_PROMPTS", "0")
    other = Worker(ComfyInstance(studio.comfy), store, tmp_path / "other").run("job-5", batch)
    assert json.loads(content(other["manifest_url"]))["scenes"][0]["clip"]["reused"]
    assert "storyboard_url" in other


def local_image(answer: dict[str, Any]) -> Path:
    return Path(unquote(urlsplit(answer["scenes"][0]["image_url"]).path))


def packets(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as film:
        return [(packet.pts, bytes(packet)) for packet in film.demux() if packet.size]


def test_tags_of_files_of_other_programs_are_removed(studio: Studio, tmp_path: Path) -> None:
    """Saved by ComfyUI's own nodes: an image, an animation and a video."""
    frames = {"1": empty_image(size=64), "2": empty_image(0x00FF00, 64)}
    frames["3"] = node("ImageBatch", image1=["1", 0], image2=["2", 0])
    saving = {
        "4": node("CreateVideo", images=["3", 0], fps=8.0),
        "5": node("SaveVideo", video=["4", 0], filename_prefix=SECRET, format="mp4", codec="h264"),
        "6": node("SaveAnimatedPNG", images=["3", 0], filename_prefix=SECRET, fps=8.0, compress_level=4),
        "7": save(SECRET),
    }
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    answer = worker.run("job-6", {"workflow": {**frames, **saving}})
    entries = [*answer["images"], *answer["videos"]]
    assert len(entries) == 3
    for number, entry in enumerate(entries):
        path = tmp_path / f"{number}{Path(entry['filename']).suffix}"
        path.write_bytes(base64.b64decode(entry["data"]))
        assert SECRET.encode() in path.read_bytes()
        clean = redact.without_prompts(path, tmp_path / f"clean-{path.name}")
        assert SECRET.encode() not in clean.read_bytes()
        # A second time there is nothing to remove.
        if path.suffix == ".png":
            with Image.open(clean) as image:
                assert getattr(image, "n_frames", 1) == (2 if entry in answer["videos"] else 1)
            assert redact.without_prompts(clean, tmp_path / "again") == clean
        else:
            assert packets(clean) == packets(path)


def test_settings_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WorkerSettings.from_environment() == (False, False, False)
    assert comfy_flags() == ["--no-disable-api-nodes"]
    for name, value in (
        ("REFRESH_WORKER", "true"),
        ("NETWORK_VOLUME_DEBUG", "TRUE"),
        ("BUCKET_PUBLIC_URL", "https://cdn.example.com"),
        ("COMFY_LOG_LEVEL", "debug"),
        ("COMFY_FLAGS", "--reserve-vram 2 --front-end-version 'a b'"),
    ):
        monkeypatch.setenv(name, value)
    assert WorkerSettings.from_environment() == (True, True, True)
    extra = ["--reserve-vram", "2", "--front-end-version", "a b"]
    assert comfy_flags() == [
        "--no-disable-api-nodes",
        "--verbose",
        "DEBUG",
        "--disable-metadata",
        *extra,
    ]
    for name, value, message in (
        ("COMFY_LOG_LEVEL", "loud", "COMFY_LOG_LEVEL: 'LOUD' is not a level: set one of DEBUG, "),
        ("COMFY_FLAGS", "'", "COMFY_FLAGS: cannot be split into flags"),
        ("HIDE_PROMPTS", "perhaps", "HIDE_PROMPTS: 'perhaps' is neither true nor false: set 1 or 0"),
    ):
        with monkeypatch.context() as patch, pytest.raises(Problems) as caught:
            patch.setenv(name, value)
            comfy_flags()
        assert message in str(caught.value)


def test_a_job_asks_for_a_new_worker_and_logs_what_is_on_the_volume(
    studio: Studio,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("REFRESH_WORKER", "true")
    monkeypatch.setenv("NETWORK_VOLUME_DEBUG", "true")
    server = Server(tmp_path / "workspace", tmp_path / "output", models=models)
    monkeypatch.setattr(server, "alive", lambda: True)
    worker = Worker(ComfyInstance(studio.comfy, server), FolderStore(tmp_path / "store"), tmp_path / "output")
    caplog.set_level(logging.INFO)
    answer = worker.run("job-7", {"task": "image", "profile": "draft", "width": 64, "height": 64})
    assert answer["refresh_worker"] is True and "image_url" in answer
    assert any(message.startswith("vae: ") for message in caplog.messages)
    assert worker.run("job-8", {"task": "imagine"})["refresh_worker"] is True


def test_the_page_for_those_who_switch_names_what_there_is(studio: Studio, models: Path) -> None:
    page = (ROOT / ".runpod" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}" in page for name in VARIABLES)
    (row,) = re.findall(r"^\| the volume \|(.*)\|(.*)\|$", page, re.MULTILINE)
    root, *theirs = re.findall(r"`([^`]+)`", row[0])
    assert root == "/runpod-volume/models" and len(theirs) == 10
    folders = [*theirs, *re.findall(r"`([^`]+)`", row[1])]
    files = [models / name / f"probe.{'yaml' if name == 'configs' else 'safetensors'}" for name in folders]
    try:
        for file in files:
            file.parent.mkdir(exist_ok=True)
            file.touch()
        lines = volume_report(models, studio.comfy)
    finally:
        # Their folders stay: ComfyUI remembers them, and fails on one that has vanished.
        for file in files:
            file.unlink()
    found = [line for line in lines if "probe." in line and line.endswith(": found")]
    assert len(found) == len(folders)


def test_the_report_of_a_volume_says_what_comfyui_finds(studio: Studio, models: Path) -> None:
    lines = volume_report(models, studio.comfy)
    (line,) = (line for line in lines if "wan_2.1_vae.safetensors" in line)
    assert line.startswith("vae: ") and line.endswith(": found")
    unknown, folder = models / "vae" / "notes.txt", models / "lora"
    unknown.touch()
    folder.mkdir()
    try:
        lines = volume_report(models, studio.comfy)
    finally:
        unknown.unlink()
        folder.rmdir()
    assert any("notes.txt" in line and "NOT found" in line for line in lines)
    assert lines[-1].endswith("that are not ComfyUI's: lora.")
    assert "attach a network volume" in volume_report(models / "none", studio.comfy)[0]
