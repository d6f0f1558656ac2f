"""The shipped handler as RunPod runs it: its SDK's own loop, against a platform that speaks its protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import requests

from driver.comfy.client import Comfy
from driver.paths import ROOT
from driver.storage.bucket import Bucket
from driver.storage.folder import FolderStore
from driver.storage.s3 import S3Store
from driver.storage.store import Store
from driver.version import version
from driver.worker import health
from story_studio.story.results import STORE
from tests.runpod_platform import ENDPOINT, FINAL, KEY, Platform, PlatformJob
from tests.runpod_worker import kill, worker
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, s3_server
from tests.studio import is_comfyui
from tests.voices import write_voice

COUNT = 3
SLOW_PACK = """
import time
from pathlib import Path

import comfy.utils

update = comfy.utils.ProgressBar.update_absolute

def slow_update(self, *args, **kwargs):
    if Path(__file__).with_name("slow").exists():
        time.sleep(0.02)
    return update(self, *args, **kwargs)

comfy.utils.ProgressBar.update_absolute = slow_update
NODE_CLASS_MAPPINGS = {}
"""


FLAGS = {"COMFY_LOG_LEVEL": "INFO", "COMFY_FLAGS": "--preview-method latent2rgb"}


class Endpoint(NamedTuple):
    """A platform with one worker, and the ComfyUI of that worker."""

    platform: Platform
    comfy: Comfy
    disk: Path
    slow: Path

    @contextlib.contextmanager
    def slowed(self) -> Iterator[None]:
        """In this block clips take seconds, however fast the machine."""
        self.slow.touch()
        yield
        self.slow.unlink()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("endpoint")
    (folder / "volume").mkdir()
    settings = {"MODEL_CACHE_DIR": str(folder / "volume"), "JOBS_AT_ONCE": "4", **FLAGS}
    slow = install_slow_pack(folder / "worker-1.disk")
    with (
        Platform() as platform,
        worker(platform, folder / "log", settings) as process,
    ):
        platform.wait_for(lambda: platform.workers)
        yield Endpoint(platform, comfy_of(process.pid), folder / "worker-1.disk", slow)


def install_slow_pack(disk: Path) -> Path:
    """Installs a pack in a worker's ComfyUI that delays each step while a file exists; returns the file."""
    pack = disk / "workspace" / "custom_nodes" / "slow_pack"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text(SLOW_PACK)
    return pack / "slow"


def comfy_of(worker_pid: int) -> Comfy:
    for process in psutil.Process(worker_pid).children(recursive=True):
        words = process.cmdline()
        if "--port" in words and is_comfyui(words):
            return Comfy(f"http://127.0.0.1:{words[words.index('--port') + 1]}")
    raise AssertionError("The worker has no ComfyUI.")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Voices as data URIs, 8 s each."""
    folder = tmp_path_factory.mktemp("voices")
    paths = [write_voice(folder / f"{n}.wav", 8, 110 + 30 * n, rate=8000) for n in range(COUNT)]
    return [f"data:audio/wav;base64,{base64.b64encode(path.read_bytes()).decode()}" for path in paths]


def batch(project: str, voices: list[str], **more: Any) -> dict[str, Any]:
    scenes = [
        {"id": f"scene_{number}", "prompt": f"{project}, room {number}", "audio_url": voice}
        for number, voice in enumerate(voices, start=1)
    ]
    settings = {"video_settings": {"resolution": "256x144"}}
    return {"task": "batch", "project_id": project, "profile": "draft", "scenes": scenes, **settings, **more}


def idle(comfy: Comfy) -> bool:
    queue = requests.get(f"{comfy.url}/queue", timeout=10).json()
    return not queue["queue_running"] and not queue["queue_pending"]


def cancel(platform: Platform, job_id: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    requests.post(
        f"{platform.url}/v2/{ENDPOINT}/cancel/{job_id}", headers=headers, timeout=10
    ).raise_for_status()


def test_what_a_client_sees_of_a_batch(endpoint: Endpoint, voices: list[str]) -> None:
    platform = endpoint.platform
    with endpoint.slowed():
        job = platform.submit({"input": batch("seen", voices, film=True)})
        ended = platform.wait(job.id)
    assert ended["status"] == "COMPLETED"
    assert [scene["id"] for scene in ended["output"]["scenes"]] == ["scene_1", "scene_2", "scene_3"]
    messages = platform.progress(job.id)
    assert all(message.keys() >= {"phase", "scene", "percent", "seconds_left"} for message in messages)
    phases = [message["phase"] for message in messages]
    order = ["inputs", "restoring", "waiting", "stills", "clips", "film", "uploads"]
    assert phases == sorted(phases, key=order.index)
    assert "clips" in phases
    percents = [message["percent"] for message in messages]
    assert percents == sorted(percents) and percents[-1] > 30
    assert any(message["seconds_left"] for message in messages)
    # In order, a second apart, and nothing after the result.
    posts = [post for post in platform.posts if post.job == job.id]
    assert [post.progress for post in posts] == [True] * len(messages) + [False]
    assert all(after.at - before.at > 0.9 for before, after in pairwise(posts[:-1]))
    assert not platform.late


def test_the_variables_of_comfyui_s_flags_reach_it(endpoint: Endpoint) -> None:
    words = " ".join(endpoint.comfy.stats()["system"]["argv"])
    assert "--verbose INFO" in words and "--preview-method latent2rgb" in words
    # A job may bring its own key for nodes that call services.
    assert endpoint.comfy.object_info()["OpenAIDalle3"]["api_node"]


def test_a_failed_job_has_a_reason(endpoint: Endpoint) -> None:
    job = endpoint.platform.submit({"input": {"task": "image", "width": 1, "steps": 0}})
    ended = endpoint.platform.wait(job.id)
    assert ended["status"] == "FAILED"
    assert "width" in ended["error"] and "steps" in ended["error"]
    assert [part["where"] for part in ended["output"]["details"]] == ["width", "steps"]


def test_the_log_has_a_line_for_each_event(endpoint: Endpoint) -> None:
    platform = endpoint.platform
    secret = "a prompt that nobody else may read"
    job = platform.submit({"input": {"task": "image", "profile": "draft", "prompt": secret}})
    output = platform.wait(job.id)["output"]
    text = (endpoint.disk.parent / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    # The SDK's own lines name no event.
    lines = [line for line in lines if "event" in line]
    (ready,) = [line for line in lines if line["event"] == "ready"]
    assert ready["version"] == version() == output["version"]
    mine = [line for line in lines if line.get("requestId") == job.id]
    events = [line["event"] for line in mine if line["event"] != "comfyui"]
    assert events == ["started", *["phase"] * 4, "rendered", "phase", "finished"]
    phases = [line["phase"] for line in mine if line["event"] == "phase"]
    assert phases == ["inputs", "restoring", "waiting", "stills", "uploads"]
    rendered = next(line for line in mine if line["event"] == "rendered")
    assert (rendered["stills"], rendered["status"]) == ({"made": 1, "reused": 0}, "complete")
    assert any("Prompt executed" in line["message"] for line in mine if line["event"] == "comfyui")
    assert secret not in text


def test_several_jobs_at_once(endpoint: Endpoint, voices: list[str]) -> None:
    platform = endpoint.platform
    jobs = [platform.submit({"input": batch(f"several_{n}", voices[:1])}) for n in range(3)]
    platform.wait_for(lambda: sum(job.status == "IN_PROGRESS" for job in jobs) >= 2)
    for job in jobs:
        ended = platform.wait(job.id)
        assert ended["status"] == "COMPLETED"
        assert ended["output"]["project_id"] == f"several_{jobs.index(job)}"


def stop(endpoint: Endpoint, job: PlatformJob) -> None:
    """Cancels a job; wherever it was, ComfyUI is idle soon after."""
    platform = endpoint.platform
    cancel(platform, job.id)
    # The worker takes another job once it has dropped this one.
    after = platform.submit({"input": {"task": "image", "prompt": "after", "profile": "draft"}})
    assert platform.wait(after.id)["status"] == "COMPLETED"
    assert idle(endpoint.comfy)
    results = [post for post in platform.posts if post.job == job.id and not post.progress]
    assert len(results) == (job.status == "COMPLETED")


def test_jobs_are_cancelled_at_ten_moments(endpoint: Endpoint, voices: list[str]) -> None:
    platform = endpoint.platform
    first = platform.submit({"input": batch("moments", voices, seed=99)})
    ended = platform.wait(first.id)
    seconds = ended["executionTime"] / 1000
    stopped = 0
    for seed in range(30):
        job = platform.submit({"input": batch("moments", voices, seed=seed)})
        # Before its first progress message the SDK ignores a request to stop it.
        platform.wait_for(lambda job=job: platform.progress(job.id))
        threading.Event().wait(seconds * stopped / 12)
        stop(endpoint, job)
        if job.status == "CANCELLED":
            stopped += 1
        else:
            # The first job was slow on a busy machine, and this one finished before it was to be cancelled.
            seconds = min(seconds, platform.jobs[job.id].shown()["executionTime"] / 1000)
        if stopped == 10:
            break
    assert stopped == 10
    assert not platform.late


def test_results_of_a_cancelled_job_are_reused_by_the_next(endpoint: Endpoint, voices: list[str]) -> None:
    platform, body = endpoint.platform, {"input": batch("cancelled", voices, seed=100)}
    clips = endpoint.disk / "output" / STORE / "clips"
    before = set(clips.glob("[!.]*.mp4"))
    with endpoint.slowed():
        job = platform.submit(body)
        while not set(clips.glob("[!.]*.mp4")) - before:
            assert job.status not in FINAL
            threading.Event().wait(0.05)
        stop(endpoint, job)
    assert job.status == "CANCELLED"
    again = platform.submit(body)
    assert platform.wait(again.id)["status"] == "COMPLETED"
    manifest = json.loads((endpoint.disk / f"output/cancelled.{again.id}/manifest.json").read_text())
    assert manifest["scenes"][0]["clip"]["reused"]


def test_a_job_that_runs_out_of_time(endpoint: Endpoint, voices: list[str]) -> None:
    platform = endpoint.platform
    job_input = batch("late", [*voices, *voices[:1]])
    job_input["scenes"][3]["id"] = "scene_4"
    with endpoint.slowed():
        job = platform.submit({"input": job_input, "policy": {"executionTimeout": 2000}})
        assert platform.wait(job.id)["status"] == "TIMED_OUT"
        after = platform.submit({"input": {"task": "image", "prompt": "after time", "profile": "draft"}})
        assert platform.wait(after.id)["status"] == "COMPLETED"
        assert idle(endpoint.comfy)
    again = platform.submit({"input": job_input})
    assert platform.wait(again.id)["status"] == "COMPLETED"


@pytest.fixture(params=["bucket", "volume"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[dict[str, str], Store]]:
    """What the workers share, as environment variables, and the store in it."""
    if request.param == "volume":
        (tmp_path / "volume").mkdir()
        yield (
            {"MODEL_CACHE_DIR": str(tmp_path / "volume")},
            FolderStore(tmp_path / "volume" / STORE / "store"),
        )
        return
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as s3:
        settings = {"ENDPOINT_URL": s3.url, "ACCESS_KEY_ID": ACCESS_KEY, "SECRET_ACCESS_KEY": SECRET_KEY}
        settings["NAME"] = BUCKET
        bucket = Bucket.model_validate({name.lower(): value for name, value in settings.items()})
        yield {f"BUCKET_{name}": value for name, value in settings.items()}, S3Store(bucket)


def read(url: str) -> bytes:
    if url.startswith("data:"):
        return base64.b64decode(url.partition(",")[2])
    return requests.get(url, timeout=30).content


def test_a_killed_worker_s_job_is_retried_by_a_worker_with_an_empty_disk(
    shared: tuple[dict[str, str], Store], tmp_path: Path, voices: list[str]
) -> None:
    settings, store = shared
    install_slow_pack(tmp_path / "worker-1.disk").touch()
    with Platform() as platform:
        job = platform.submit({"input": batch("killed", voices, film=True)})
        with worker(platform, tmp_path / "log_1", settings, "worker-1") as process:
            while not store.keys("checkpoints/clips"):
                assert job.status not in FINAL
                threading.Event().wait(0.05)
            work = {**os.environ, "WORK_DIR": str(tmp_path / "worker-1.disk")}
            asked = [sys.executable, "-m", "driver.worker.health"]
            checked = subprocess.run(asked, env=work, cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert checked.stdout == "The worker is running, and its ComfyUI answers.\n"
            assert checked.returncode == 0
            kill(process)
        report = health.report_file(tmp_path / "worker-1.disk")
        healthy, sentence = health.check(report, time.monotonic() + 31)
        assert (healthy, "hangs or is dead" in sentence) == (False, True)
        kept = len(store.keys("checkpoints/clips"))
        assert 0 < kept < COUNT
        platform.requeue(job.id)
        with worker(platform, tmp_path / "log_2", settings, "worker-2"):
            ended = platform.wait(job.id)
    assert (ended["status"], ended["workerId"]) == ("COMPLETED", "worker-2")
    answer = ended["output"]
    assert answer["status"] == "complete"
    manifest = json.loads(read(answer["manifest_url"]))
    assert [scene["clip"]["reused"] for scene in manifest["scenes"]].count(True) >= kept
    assert len(store.keys("checkpoints/clips")) == COUNT
    for url in (answer["film_url"], *(scene["video_url"] for scene in answer["scenes"])):
        assert read(url)[4:8] == b"ftyp"
    log = (tmp_path / "log_2").read_text()
    assert job.id in log and "X-Amz-Signature" not in log
