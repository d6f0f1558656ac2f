"""`submit` as a user runs it: a platform on loopback, the real handler and ComfyUI, a real bucket."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from driver.paths import ROOT
from driver.rendering.progress import Status
from driver.runpod import renderer
from driver.runpod.client import JobState
from driver.storage import from_environment
from tests.runpod_platform import ENDPOINT, KEY, Platform
from tests.runpod_worker import worker
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, s3_server
from tests.voices import write_voice

WriteStory = Callable[..., Path]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def bucket(s3: S3Server) -> dict[str, str]:
    """The settings of the bucket, which is on loopback like everything here."""
    settings = {
        "ENDPOINT_URL": s3.url,
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
        "NAME": BUCKET,
    }
    return {f"BUCKET_{name}": value for name, value in settings.items()}


def worker_settings(s3: S3Server, volume: Path) -> dict[str, str]:
    volume.mkdir()
    # Each worker takes one job at a time, so both get a shard.
    return bucket(s3) | {"MODEL_CACHE_DIR": str(volume)}


@pytest.fixture(scope="module")
def busy(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with one real worker."""
    folder = tmp_path_factory.mktemp("worker")
    with Platform() as platform, worker(platform, folder / "log", worker_settings(s3, folder / "volume")):
        yield platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform without workers: the test plays their part."""
    with Platform() as platform:
        yield platform


def command(story: Path, *more: object) -> list[str]:
    places = ("--endpoint", ENDPOINT, "--output", story.parent / "out")
    return [sys.executable, "-m", "driver", "submit", *map(str, (story, *places, *more))]


def environment(platform: Platform, extra: dict[str, str] | None = None) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BUCKET_")}
    return {**plain, **platform.client_environment(), **(extra or {})}


def submit(
    platform: Platform, story: Path, *more: object, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    variables = environment(platform, extra)
    done = subprocess.run(
        command(story, *more), env=variables, cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert KEY not in done.stdout + done.stderr
    return done


def jobs(platform: Platform) -> list[dict[str, Any]]:
    return [body["input"] for body in platform.bodies.values()]


def results(platform: Platform) -> list[dict[str, Any]]:
    return [post.body for post in platform.posts if not post.progress]


def serve(platform: Platform, *bodies: dict[str, Any]) -> None:
    """Takes the first job when it comes, as a worker, and posts these bodies."""

    def take() -> None:
        (job,) = platform.take("hand", 1, lambda: True)
        for body in bodies:
            platform.post("hand", job["id"], body)

    threading.Thread(target=take, daemon=True).start()


def test_a_story_is_returned_and_not_rendered_twice(busy: Platform, write_story: WriteStory) -> None:
    story = write_story([1.0, 0.5], "draft", film={"join": "crossfade"})
    busy.scales.clear()
    first = submit(busy, story)
    assert first.returncode == 0, first.stderr
    folder = story.parent / "out" / "tale"
    assert first.stdout.strip() == str(folder / "film.mp4")
    assert "tale is complete" in first.stderr and "Planned: 1 worker" in first.stderr
    names = {"film.mp4", "film.srt", "film.vtt", "manifest.json", "storyboard.jpg"}
    names |= {f"scene_{n}_{end}" for n in (1, 2) for end in ("img.png", "video.mp4")}
    assert {path.name for path in folder.iterdir()} == names
    answer = results(busy)[-1]["output"]
    files = [(folder / "film.mp4", answer["film_sha256"])]
    for scene in answer["scenes"]:
        files.append((folder / f"{scene['id']}_img.png", scene["image_sha256"]))
        files.append((folder / f"{scene['id']}_video.mp4", scene["video_sha256"]))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in files] == [sha for _, sha in files]
    assert json.loads((folder / "manifest.json").read_text())["status"] == "complete"
    assert busy.scales == [1, 0]
    # The recordings fit into the job; the scenes' order, the film and the settings are in it.
    job_input = jobs(busy)[-1]
    assert [scene["id"] for scene in job_input["scenes"]] == ["scene_1", "scene_2"]
    assert all(scene["audio"].startswith("data:audio/") for scene in job_input["scenes"])
    assert job_input["film"]["join"] == "crossfade" and job_input["profile"] == "draft"
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = submit(busy, story)
    assert second.returncode == 0, second.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["film"]["reused"]
    assert all(scene[kind]["reused"] for scene in manifest["scenes"] for kind in ("still", "clip"))
    again = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name in names if times[name] != again[name]} == {"manifest.json"}
    assert busy.late == []


def test_large_recordings_go_through_the_bucket(
    busy: Platform, s3: S3Server, write_story: WriteStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = write_story([0.5, 0.5], "draft", project_id="long", film=False)
    # It is large only by its sampling rate, which takes no more work.
    voice = write_voice(story.parent / "voice_1.wav", 22, rate=192_000)
    assert voice.stat().st_size > 8_000_000
    refused = submit(busy, story)
    assert refused.returncode == 1
    assert "and a job holds 10: set the BUCKET_ variables" in refused.stderr
    done = submit(busy, story, "--workers", 1, extra=bucket(s3))
    assert done.returncode == 0, done.stderr
    keys = [scene["audio"] for scene in jobs(busy)[-1]["scenes"]]
    assert all(key.startswith("StoryStudio/long/inputs/") and key.endswith(".wav") for key in keys)
    for name, value in bucket(s3).items():
        monkeypatch.setenv(name, value)
    stored = from_environment(story.parent).find(keys[0])
    assert stored and stored.sha256 == hashlib.sha256(voice.read_bytes()).hexdigest()
    assert (story.parent / "out" / "long" / "scene_1_video.mp4").is_file()


def test_two_workers_share_the_scenes(
    busy: Platform, s3: S3Server, write_story: WriteStory, tmp_path: Path
) -> None:
    story = write_story([2.0, 1.0, 1.5], "draft", project_id="shared")
    before = len(busy.jobs)
    busy.scales.clear()
    settings = worker_settings(s3, tmp_path / "volume")
    with worker(busy, tmp_path / "log", settings, "worker-2"):
        busy.wait_for(lambda: "worker-2" in busy.workers)
        done = submit(busy, story, "--workers", 2, extra=bucket(s3))
    assert done.returncode == 0, done.stderr
    first, second, last = list(busy.jobs.values())[before:]
    inputs = [busy.bodies[job.id]["input"] for job in (first, second, last)]
    shards = [[scene["id"] for scene in job_input["scenes"]] for job_input in inputs]
    assert shards == [["scene_1"], ["scene_2", "scene_3"], ["scene_1", "scene_2", "scene_3"]]
    assert [bool(job_input["film"]) for job_input in inputs] == [False, False, True]
    assert {first.worker, second.worker} == {"worker-1", "worker-2"}
    assert busy.scales == [2, 0]
    manifest = json.loads((story.parent / "out" / "shared" / "manifest.json").read_text())
    assert manifest["status"] == "complete" and not manifest["film"]["reused"]
    # The last job rendered only the film: the other worker's scenes came from the bucket.
    assert all(scene[kind]["reused"] for scene in manifest["scenes"] for kind in ("still", "clip"))


def test_a_failed_scene_is_reported_and_the_rest_returned(
    busy: Platform, s3: S3Server, write_story: WriteStory
) -> None:
    story = write_story([0.5, 0.5], "draft", project_id="half", film={"partial": True})
    edited = yaml.safe_load(story.read_text())
    # It exists when it is checked here; the worker refuses it, because the address is its own.
    with FileServer(story.parent / "voice_2.wav") as server:
        edited["scenes"][1]["audio"] = server.url
        story.write_text(yaml.safe_dump(edited))
        done = submit(busy, story, extra={"STORY_STUDIO_ALLOW_PRIVATE_ADDRESSES": "1"})
    assert done.returncode == 3, done.stderr
    assert "scene_2 failed: scenes[1].audio" in done.stderr and "half is partial" in done.stderr
    folder = story.parent / "out" / "half"
    assert (folder / "scene_1_video.mp4").is_file() and not (folder / "scene_2_video.mp4").exists()
    assert done.stdout.strip() == str(folder / "film.mp4")


def test_progress_and_failure_are_shown(platform: Platform, write_story: WriteStory) -> None:
    story = write_story([0.5, 0.5], "draft")
    process = subprocess.Popen(
        command(story), env=environment(platform), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    platform.wait_for(lambda: platform.jobs)
    (job,) = platform.take("hand", 1, lambda: True)
    numbers = {"done": 1, "total": 2, "percent": 62.0, "seconds_left": 90}
    message = {"phase": "clips", "scene": "scene_2", **numbers}
    platform.post("hand", job["id"], {"status": "IN_PROGRESS", "output": message})
    platform.fail_next(1, 503)
    platform.drop_next(1)
    stderr = ""
    for line in process.stderr:
        stderr += line
        if "clips" in line:
            break
    assert "clips 1/2   62 %  scene_2, 1 min 30 s left" in stderr
    platform.post("hand", job["id"], {"error": "No scene was finished. scene_1: the voice is silent."})
    stderr += process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "The job failed: No scene was finished. scene_1: the voice is silent." in stderr
    assert platform.scales == [1, 0]


@pytest.mark.parametrize(
    ("key", "endpoint", "message"),
    [
        ("wrong-key", ENDPOINT, "refuses the key in RUNPOD_API_KEY"),
        (KEY, "elsewhere", "There is no endpoint elsewhere"),
        ("", ENDPOINT, "RUNPOD_API_KEY: is not set"),
    ],
)
def test_a_wrong_key_or_endpoint_sends_nothing(
    platform: Platform, write_story: WriteStory, key: str, endpoint: str, message: str
) -> None:
    story = write_story([0.5], "draft")
    done = submit(platform, story, "--endpoint", endpoint, extra={"RUNPOD_API_KEY": key})
    assert done.returncode == 1
    assert message in done.stderr and "wrong-key" not in done.stderr and "Traceback" not in done.stderr
    assert not platform.jobs and not platform.scales


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_job_and_releases_the_workers(
    platform: Platform, write_story: WriteStory, signal_: signal.Signals
) -> None:
    story = write_story([0.5], "draft")
    process = subprocess.Popen(
        command(story), env=environment(platform), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    platform.wait_for(lambda: platform.jobs)
    (job,) = platform.take("hand", 1, lambda: True)
    # The platform fails once at that moment.
    platform.wait_for(lambda: any(job["id"] in asked for asked in platform.asked))
    platform.fail_next(1, 503)
    process.send_signal(signal_)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "the same command resumes" in stderr
    assert platform.jobs[job["id"]].status == "CANCELLED"
    platform.wait_for(lambda: platform.stops == {"hand": [job["id"]]})
    assert platform.scales == [1, 0]


def test_a_larger_number_of_workers_is_kept(platform: Platform, write_story: WriteStory) -> None:
    platform.endpoint["workers"]["min"] = 2
    serve(platform, {"error": "no"})
    assert submit(platform, write_story([0.5], "draft")).returncode == 1
    assert platform.scales == []


def test_a_job_that_runs_out_of_time_is_reported(platform: Platform, write_story: WriteStory) -> None:
    threading.Thread(
        target=lambda: platform.stop(platform.wait_for(lambda: list(platform.jobs.values()))[0], "TIMED_OUT"),
        daemon=True,
    ).start()
    done = submit(platform, write_story([0.5], "draft"))
    assert done.returncode == 1
    assert "did not finish, or begin, within its time" in done.stderr
    assert platform.scales == [1, 0]
    policy = next(iter(platform.bodies.values()))["policy"]
    # At least an hour, and more in the queue.
    assert 3_600_000 < policy["executionTimeout"] < policy["ttl"] <= 7 * 86_400_000


def test_a_cost_above_the_cap_is_refused_before_anything_is_sent(
    platform: Platform, write_story: WriteStory
) -> None:
    done = submit(platform, write_story([0.5], "draft"), "--max-cost", 0.001)
    assert done.returncode == 1
    assert "--max-cost" in done.stderr and "nothing was rendered" in done.stderr
    assert not platform.jobs and not platform.scales


def test_results_that_cannot_be_fetched_are_reported(platform: Platform, write_story: WriteStory) -> None:
    scene: dict[str, Any] = {"id": "scene_1", "seed": 1, "image_sha256": "0" * 64}
    scene["image_url"] = "file:///output/tale/scene_1_img.png"
    answer = {"project_id": "tale", "status": "complete", "scenes": [scene], "model_loads": {}, "seconds": {}}
    answer |= {"manifest_url": "file:///output/tale/manifest.json", "warnings": []}
    answer |= dict.fromkeys(("total_time", "images_time", "videos_time", "generation_time"), 1.0)
    serve(platform, {"output": answer})
    done = submit(platform, write_story([0.5], "draft"))
    assert done.returncode == 1
    assert "set the endpoint's BUCKET_ variables" in done.stderr


def test_without_a_bucket_one_worker_is_used_and_with_one_as_many_as_planned(
    platform: Platform, s3: S3Server, write_story: WriteStory
) -> None:
    story = write_story([0.5, 0.5, 0.5, 0.5], "draft")
    serve(platform, {"error": "no"})
    assert "Planned: 1 worker," in submit(platform, story).stderr

    def take_both() -> None:
        platform.wait_for(lambda: len(platform.jobs) == 3)
        both = platform.take("hand", 2, lambda: True)
        # The client sees both in progress, on one worker.
        count = len(platform.asked)
        platform.wait_for(
            lambda: all(any(job["id"] in asked for asked in platform.asked[count:]) for job in both)
        )
        count = len(platform.asked)
        platform.wait_for(
            lambda: all(any(job["id"] in asked for asked in platform.asked[count:]) for job in both)
        )
        for job in both:
            platform.post("hand", job["id"], {"error": "no"})
        serve(platform, {"error": "nothing"})

    threading.Thread(target=take_both, daemon=True).start()
    done = submit(platform, story, extra=bucket(s3))
    # A third worker would cost more and save no time.
    assert "Planned: 2 workers," in done.stderr
    assert [len(job["scenes"]) for job in jobs(platform)[1:]] == [2, 2, 4]
    assert platform.scales == [1, 0, 2, 0]
    assert "One worker took several shards" in done.stderr
    assert "A shard failed; the last job renders it again. The job failed: no" in done.stderr
    assert "The job failed: nothing" in done.stderr


class FileServer:
    """A web server with one file."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> FileServer:
        code = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
        self._process = subprocess.Popen(code, cwd=self._path.parent, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        port = self._process.stdout.readline().split("port ")[1].split()[0]
        self.url = f"http://127.0.0.1:{port}/{self._path.name}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def test_inputs_and_uploads_do_not_count_as_stills() -> None:
    shown: list[Status] = []
    board = renderer._Board(shown.append, lambda *_: None)
    board.add("job", 2)
    for message in (
        {"phase": "inputs", "done": 5, "total": 6, "percent": 0.0},
        {"phase": "stills", "scene": "one", "done": 1, "total": 2, "percent": 40.0},
        {"phase": "film", "done": 0, "total": 1, "percent": 98.0},
        {"phase": "uploads", "percent": 100.0},
    ):
        board.update(JobState("job", "IN_PROGRESS", message, "", "worker"))
    states = [(status.phase, status.done, status.total, status.percent) for status in shown]
    assert states == [("still", 0, 2, 0.0), ("still", 1, 2, 40.0), *[("film", 0, 1, 98.0)] * 2]


def test_a_cap_lowers_the_retakes_to_what_it_pays_for(platform: Platform, write_story: WriteStory) -> None:
    heavy = {"sample_steps": 200, "resolution": "480p"}
    story = write_story([0.5], video_settings=heavy, quality={"retakes": 3})
    serve(platform, {"error": "no"})
    done = submit(platform, story, "--max-cost", 2)
    # A start, the models and a clip cost $1.16, and each retake $0.62.
    assert "--max-cost allows 1 retake of each clip instead of 3" in done.stderr
    assert "$1.22; $1.77 if every clip is made again" in done.stderr
    assert [job["quality"]["retakes"] for job in jobs(platform)] == [1]
