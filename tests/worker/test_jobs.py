"""The endpoint's jobs, from RunPod's input to its output: the real server, tiny models, a real store."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.instance import ComfyInstance
from driver.comfy.process import Server
from driver.fetch.allowance import Allowance
from driver.paths import ROOT
from driver.storage import from_environment
from driver.storage.bucket import Bucket
from driver.storage.folder import FolderStore
from driver.storage.s3 import S3Store
from driver.worker import story_run
from driver.worker.jobs import Worker
from story_studio.media.probe import probe
from story_studio.story import recipes
from tests.s3_server import ACCESS_KEY, BUCKET, READER_KEY, READER_SECRET, SECRET_KEY, s3_server
from tests.studio import Studio
from tests.worker.tools import data_uri, empty_image, node, save


def broken_image(folder: Path) -> str:
    """An AVIF whose decoder raises no OSError, as a data URI."""
    Image.new("RGB", (64, 64)).save(path := folder / "broken.avif")
    path.write_bytes(path.read_bytes().replace(b"pitm", b"free"))
    return data_uri(path, "image/avif")


@pytest.fixture
def worker(studio: Studio, tmp_path: Path) -> Worker:
    return Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")


def local(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def test_an_image(worker: Worker) -> None:
    job = {"task": "image", "prompt": "a lamp", "width": 128, "height": 64, "steps": 2, "seed": 3}
    answer = worker.run("job-1", job)
    path = local(answer["image_url"])
    assert path.parent.name == "StoryStudio" and path.name.startswith("img_")
    with Image.open(path) as image:
        assert image.size == (128, 64)
    assert answer["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert answer["bytes"] == path.stat().st_size
    assert (answer["seed"], answer["warnings"], answer["width"]) == (3, [], 128)
    assert answer["generation_time"] > 0


def test_a_job_without_a_task_is_a_video(worker: Worker, media: dict[str, str]) -> None:
    answer = worker.run("job-2", {**media, "resolution": "64x64", "sample_steps": 2})
    path = local(answer["video_url"])
    assert path.parent.name == "VideoGen" and path.name.endswith("_s2v_64x64.mp4")
    info = probe(path)
    assert (info.frames, info.width) == (8, answer["width"])
    assert answer["resolution"] == "64x64"
    assert abs(answer["duration"] - 0.5) < 1 / 16
    assert answer["memory"].startswith("needs 3 GB, ")
    # The same job, retried, has the same seed, so nothing is rendered.
    again = worker.run("job-2", {**media, "resolution": "64x64", "sample_steps": 2})
    assert again["sha256"] == answer["sha256"] and again["model_loads"] == {}
    assert again["memory"] == ""
    # A warm worker reads no model where all of them stay in memory.
    warm = worker.run("job-2b", {**media, "resolution": "64x64", "sample_steps": 2})
    assert warm["memory"].startswith("needs 3 GB, ")


def test_every_task_reads_a_data_uri_that_a_browser_wrote(worker: Worker, media: dict[str, str]) -> None:
    """With a quoted parameter, blanks and line breaks, in capitals, without padding."""
    voice = media["audio"].partition(",")[2]
    wrapped = "\n".join(voice[at : at + 76] for at in range(0, len(voice), 76)).rstrip("=")
    audio = f'DATA:audio/wav; codecs="1,2";BASE64, {wrapped}\n'
    image = media["image"].replace("+", "%2B").replace("/", "_", 1).replace("image_png", "image/png")
    settings = {"profile": "draft", "video_settings": {"resolution": "64x64"}}
    scene = {"id": "one", "audio": audio, "image": image}
    batch = worker.run("job-b", {"task": "batch", "project_id": "uri", "scenes": [scene], **settings})
    assert batch["status"] == "complete", batch
    video = worker.run("job-v", {"audio": audio, "image": image, "resolution": "64x64", "profile": "draft"})
    assert "video_url" in video, video
    nodes = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "face.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "face"}},
        "3": {"class_type": "LoadAudio", "inputs": {"audio": "voice.wav"}},
        "4": {"class_type": "SaveAudio", "inputs": {"audio": ["3", 0], "filename_prefix": "voice"}},
    }
    files = [{"name": "face.png", "image": image}, {"name": "voice.wav", "image": audio}]
    workflow = worker.run("job-w", {"task": "workflow", "workflow": nodes, "images": files})
    assert [len(workflow[kind]) for kind in ("images", "audio")] == [1, 1], workflow


def test_a_batch_with_one_bad_voice_through_a_real_bucket(
    studio: Studio, media: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes: list[dict[str, Any]] = [
        {"id": f"scene_{number}", "prompt": f"Room {number}", "audio_url": media["audio"]}
        for number in (1, 2)
    ]
    job = {"task": "batch", "project_id": "story_123", "profile": "draft", "scenes": scenes, "film": True}
    job["video_settings"] = {"resolution": "64x64"}
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:
        for name, value in (
            ("ENDPOINT_URL", server.url),
            ("ACCESS_KEY_ID", ACCESS_KEY),
            ("SECRET_ACCESS_KEY", SECRET_KEY),
            ("NAME", BUCKET),
        ):
            monkeypatch.setenv(f"BUCKET_{name}", value)
        store = from_environment(tmp_path / "unused")
        worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
        bad = json.loads(json.dumps(job))
        bad["scenes"].append({**bad["scenes"][0], "id": "scene_3"})
        bad["scenes"][1]["audio_url"] = "data:audio/wav;base64,AAAA"
        bad["scenes"].append({**bad["scenes"][0], "id": "scene_4", "image_url": broken_image(tmp_path)})
        partial = worker.run("job-3", bad)
        assert (partial["status"], "film_url" in partial, "error" in partial) == ("partial", False, False)
        assert ["video_url" in scene for scene in partial["scenes"]] == [True, False, True, False]
        assert "scenes[1].audio: the data" in partial["scenes"][1]["error"]
        assert "scenes[3].image: the data.avif cannot be read" in partial["scenes"][3]["error"]
        answer = worker.run("job-3", job)
        assert (answer["status"], answer["project_id"]) == ("complete", "story_123")
        assert [scene["id"] for scene in answer["scenes"]] == ["scene_1", "scene_2"]
        for scene in answer["scenes"]:
            for kind in ("image", "video"):
                fetched = requests.get(scene[f"{kind}_url"], timeout=30)
                assert hashlib.sha256(fetched.content).hexdigest() == scene[f"{kind}_sha256"]
        assert requests.get(answer["film_url"], timeout=30).headers["Content-Type"] == "video/mp4"
        assert answer["total_time"] >= answer["images_time"] + answer["videos_time"] - 0.1
        keys = store.keys("StoryStudio/story_123")
        assert {key.rpartition("/")[2] for key in keys} >= {"film.mp4", "manifest.json", "scene_1_img.png"}
        # A key of the store is a source like any other.
        reused = worker.run("job-4", {"audio": media["audio"], "image": still_key(keys), "profile": "draft"})
        assert "video_url" in reused, reused


def still_key(keys: list[str]) -> str:
    return next(key for key in keys if key.endswith("scene_1_img.png"))


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"task": "imagine"}, "task: unknown task 'imagine'"),
        (
            {"image": "secret/../../etc/passwd", "audio": "data:audio/wav;base64,!"},
            "audio: holds broken base64",
        ),
        ({"image": "/etc/passwd", "audio": "file:///etc/passwd"}, "image"),
        ({"image": "gone.png", "audio": "gone.mp3"}, "audio"),
        ({"image": "http://127.0.0.1/x.png", "audio": "http://169.254.169.254/latest"}, "audio"),
        ({"task": "batch", "scenes": [{"id": "a", "prompt": "p", "audio": "gone.mp3"}]}, "scenes[0].audio"),
        (
            {
                "task": "batch",
                "video_settings": {"workflow": "/etc/passwd"},
                "scenes": [{"id": "a", "prompt": "p", "audio": "gone.mp3"}],
            },
            "video_settings.workflow: names a local file",
        ),
    ],
)
def test_an_invalid_job_is_answered_with_a_readable_error(
    worker: Worker, job: dict[str, Any], message: str, tmp_path: Path
) -> None:
    answer = worker.run("job-5", job)
    assert answer.keys() == {"error", "details", "generation_time", "version"}
    assert message in answer["error"]
    assert "\n".join(f"{part['where']}: {part['what']}" for part in answer["details"]) == answer["error"]
    assert "Traceback" not in answer["error"] and str(tmp_path) not in answer["error"]
    assert "root:" not in answer["error"]


def test_running_out_of_memory_twice_asks_for_another_worker(
    studio: Studio, media: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a node in the draft's own recipe that runs out of memory."""
    shutil.copytree(recipes.FOLDER, tmp_path / "workflows")
    path = tmp_path / "workflows" / "title_card_still.json"
    recipe = json.loads(path.read_text())
    inputs = {"image": ["6", 0], "message": str(tmp_path / "happened"), "when": ["1", 0]}
    recipe["90"] = {"class_type": "TestRaise", "inputs": inputs}
    recipe["7"]["inputs"]["images"] = ["90", 0]
    path.write_text(json.dumps(recipe))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "workflows")
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    job = {"task": "image", "profile": "draft", "width": 64, "height": 64}
    once = worker.run("job-6", {**job, "prompt": "starve once"})
    assert "image_url" in once and "refresh_worker" not in once
    twice = worker.run("job-7", {**job, "prompt": "starve"})
    assert twice["refresh_worker"] and "Allocation on device" in twice["error"]
    # A job that succeeds shows that the machine is fine.
    assert "refresh_worker" not in worker.run("job-8", {**job, "prompt": "a calm sea"})


class Vanishing(FolderStore):
    """A folder from which another worker removes each file between this one's look-up and its use."""

    vanished = 0

    def _get(self, key: str, aside: Path) -> None:
        self.delete([key])
        self.vanished += 1
        super()._get(key, aside)


def test_results_that_vanish_are_made_again(studio: Studio, media: dict[str, str], tmp_path: Path) -> None:
    """As when sweeps remove them here, where ComfyUI still has them in memory, and in the store."""
    store = Vanishing(tmp_path / "store")
    worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
    image = {"task": "image", "profile": "draft", "prompt": "vanishing", "width": 64, "height": 64}
    batch = {"task": "batch", "project_id": "vanish", "profile": "draft", "film": True}
    batch["scenes"] = [{"id": "one", "prompt": "vanishing too", "audio": media["audio"]}]
    nodes = {"1": empty_image(size=64), "2": save("vanish/picture")}
    video = {"1": empty_image(size=64), "2": node("LoadAudio", audio="voice.wav")}
    video["3"] = node("StoryStudio_Animatic", image=["1", 0], audio=["2", 0], width=64, height=64, seed=1)
    video["4"] = node("SaveVideo", video=["3", 0], filename_prefix="a", format="auto", codec="auto")
    other = {**video, "4": node("SaveVideo", **{**video["4"]["inputs"], "filename_prefix": "b"})}
    voice = [{"name": "voice.wav", "image": media["audio"]}]
    for job, similar in (
        ({"workflow": nodes}, {"workflow": nodes}),
        # ComfyUI still has the video, but not its temporary file.
        ({"workflow": video, "images": voice}, {"workflow": other, "images": voice}),
        (image, image),
        (batch, batch),
    ):
        first = worker.run("job-v", job)
        for folder in (studio.server.output, studio.server.workspace / "temp"):
            for path in folder.rglob("*.*"):
                if path.suffix in (".png", ".mp4", ".jpg"):
                    path.unlink()
        again = worker.run("job-v", similar)
        for answer in (first, again):
            assert not answer.get("error") and not answer.get("errors"), answer
            assert answer.get("status") in (None, "complete"), answer
    # The image, and the batch's still and clip.
    assert store.vanished == 3


def test_a_store_that_refuses_temporarily_and_then_permanently(
    studio: Studio, media: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "s3").mkdir()
    scene = {"id": "scene_1", "prompt": "A quay", "audio": media["audio"]}
    job = {"task": "batch", "profile": "draft", "scenes": [scene]}
    with s3_server(tmp_path / "s3") as server, server.proxy() as proxy:
        settings = {"endpoint_url": proxy.url, "name": BUCKET}
        owner = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        store = S3Store(Bucket.model_validate({**settings, **owner}))
        worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
        proxy.refusals = 3
        assert worker.run("job-9", job)["status"] == "complete"
        assert proxy.refusals == 0
        reader = {"access_key_id": READER_KEY, "secret_access_key": READER_SECRET}
        refused = Worker(
            ComfyInstance(studio.comfy),
            S3Store(Bucket.model_validate({**settings, **reader})),
            tmp_path / "output",
        ).run("job-10", {**job, "seed": 5})
        assert "the access key may not do that" in refused["error"]
        # The results are not lost: with the right key nothing is rendered again.
        answer = worker.run("job-10", {**job, "seed": 5})
        manifest = requests.get(answer["manifest_url"], timeout=30).json()
        assert manifest["scenes"][0]["clip"]["reused"]


def test_a_server_that_died_between_jobs_is_restarted(models: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with Server(tmp_path / "workspace", output, models=models) as server:
        worker = Worker(
            ComfyInstance(Comfy(server.url, server.alive), server), FolderStore(tmp_path / "store"), output
        )
        server.stop()
        answer = worker.run("job-11", {"task": "image", "profile": "draft", "prompt": "back again"})
        assert "image_url" in answer


def test_the_inputs_of_a_job_are_counted_and_bounded_together(
    worker: Worker, media: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [{"id": f"s{n}", "image": media["image"], "audio": media["audio"]} for n in (1, 2)]
    scenes[1]["audio"] = scenes[1]["audio"].replace("data:audio/wav", "data:audio/x-wav")
    job = {"task": "batch", "profile": "draft", "scenes": scenes, "video_settings": {"resolution": "64x64"}}
    messages: list[dict[str, Any]] = []
    assert worker.run("counted", job, messages.append)["status"] == "complete"
    # The image is used twice, and fetched once.
    counts = [message for message in messages if message["phase"] == "inputs" and "done" in message]
    assert sorted((message["done"], message["total"]) for message in counts) == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr(story_run, "Allowance", partial(Allowance, max_bytes=20_000))
    said = "scenes: name more than 0 MB together: send less in one job."
    assert worker.run("too-much", job)["error"] == said
    monkeypatch.setattr(story_run, "Allowance", partial(Allowance, max_seconds=-1))
    said = "scenes: take longer than -1 s to fetch: use a faster server, or send less."
    assert worker.run("too-slow", job)["error"] == said


def test_the_handler_runs_in_runpod_s_own_loop(media: dict[str, str], tmp_path: Path) -> None:
    """With --test_input the SDK takes one job, as on the platform, and ends."""
    job = {"id": "local", "input": {**media, "profile": "draft", "resolution": "64x64"}}
    own = {"MODEL_CACHE_DIR": str(tmp_path / "none"), "WORK_DIR": str(tmp_path), "STORY_STUDIO_CPU": "1"}
    environment = {**os.environ, **own}
    done = subprocess.run(
        [sys.executable, "runpod_handler.py", "--test_input", json.dumps(job)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "video_url" in output and "completed successfully" in output


def test_a_worker_does_not_start_without_a_gpu_or_with_wrong_settings(tmp_path: Path) -> None:
    own = {"WORK_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "", "JOBS_AT_ONCE": "many"}
    own |= {"RETENTION_DAYS": "a week", "RETENTION_GB": "-1"}
    environment = {name: value for name, value in os.environ.items() if name != "STORY_STUDIO_CPU"} | own
    done = subprocess.run(
        [sys.executable, "runpod_handler.py"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    jobs, days, size, gpu = done.stderr.splitlines()
    assert jobs == "JOBS_AT_ONCE: 'many' is not a number of jobs: set 1 to 100, or unset it."
    assert days.startswith("RETENTION_DAYS: 'a week' is not a number of days: set it to 0.01 to 3650, ")
    assert size.startswith("RETENTION_GB: '-1' is not a number of GB: set it to 0.01 to 100000, ")
    assert gpu.startswith("GPU: there is none, ") and gpu.endswith("set STORY_STUDIO_CPU=1 to render drafts.")
    assert not list(tmp_path.iterdir())
