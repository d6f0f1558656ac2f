"""`story-studio endpoint` as its users have it: RunPod's client, ours, curl; the real worker and ComfyUI."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import requests
import runpod
from jsonschema import Draft202012Validator

from driver.paths import ROOT
from story_studio.story.results import STORE
from tests.endpoint.local import OPEN, Local, Receiver, environment, read, wait_for
from tests.studio import is_comfyui
from tests.voices import write_voice

PAGE = (ROOT / ".runpod" / "README.md").read_text("utf-8")
IMAGE = {"task": "image", "profile": "draft"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """The endpoint, started with the documented command, on a free port and with folders of its own."""
    (documented,) = re.findall(r"```bash\n(\S+story-studio endpoint)\n```", PAGE)
    folder = tmp_path_factory.mktemp("local")
    places = ["--port", "0", "--workspace", str(folder / "workspace"), "--output", str(folder / "output")]
    script, *words = shlex.split(documented)
    assert script == ".venv/bin/story-studio"
    # What the script runs, of this checkout in any case.
    command = [sys.executable, "-m", "driver", *words, *places]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=log, stderr=log, text=True)
    try:
        greeting = wait_for(
            lambda: process.poll() is not None or re.search(r"(http://\S+)/v2/local", read(folder / "log"))
        )
        assert isinstance(greeting, re.Match), read(folder / "log")
        yield Local(process, greeting[1], folder)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture
def client(local: Local, monkeypatch: pytest.MonkeyPatch) -> Any:
    """RunPod's client library, pointed at the endpoint."""
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{local.base}/v2")
    monkeypatch.setattr(runpod, "api_key", "any")
    return runpod.Endpoint("local")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eight seconds of a voice, as a data URI."""
    path = write_voice(tmp_path_factory.mktemp("voice") / "voice.wav", 8, 140, rate=8000)
    return f"data:audio/wav;base64,{base64.b64encode(path.read_bytes()).decode()}"


def batch(project: str, voice: str, scenes: int, **more: Any) -> dict[str, Any]:
    return {
        "task": "batch",
        "project_id": project,
        "profile": "draft",
        "scenes": [
            {"id": f"scene_{n}", "prompt": f"{project}, {n}", "audio_url": voice} for n in range(scenes)
        ],
        "video_settings": {"resolution": "256x144"},
        **more,
    }


def test_the_documented_calls_run_as_written(local: Local) -> None:
    (block,) = re.findall(r"```bash\n(LOCAL=.*?)```", PAGE, re.DOTALL)
    assert {"run", "runsync", "status", "cancel", "health"} <= set(re.findall(r"\$LOCAL/(\w+)", block))
    block = block.replace("http://127.0.0.1:8000", local.base)
    # Several answers without line ends would be one text.
    block = re.sub(r"^curl ", "curl -sSf -w '\\\\n' ", block, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    health, image, status, cancelled, purged, openapi = answers
    assert health["jobs"]["failed"] == 0
    assert image["status"] == "COMPLETED" and image["output"]["image_url"].startswith("file:///")
    assert status["id"] == cancelled["id"] and cancelled["status"] in ("CANCELLED", "COMPLETED")
    assert purged == {"removed": 0, "status": "completed"}
    assert openapi == json.loads(read(ROOT / "workflows" / "endpoint.openapi.json"))
    assert "story_studio_jobs_in_queue 0.0" in done.stdout


def test_an_image_with_runpod_s_client(local: Local, client: Any) -> None:
    job = client.run({"input": {**IMAGE, "prompt": "a pier"}})
    output = job.output(timeout=60)
    assert job.status() == "COMPLETED"
    path = Path(output["image_url"].removeprefix("file://"))
    assert path.is_relative_to(local.folder / "output" / STORE) and len(path.read_bytes()) == output["bytes"]
    # RunPod's client ends its stream with the job, and ours streams nothing.
    assert list(client.run({**IMAGE, "prompt": "streamed"}).stream()) == []
    assert client.run_sync({**IMAGE, "prompt": "at once"}, timeout=60)["width"] == 832
    assert client.health()["workers"]["idle"] == 1
    assert client.purge_queue() == {"removed": 0, "status": "completed"}
    failed = client.run({**IMAGE, "width": 5, "steps": 0})
    failed.output(timeout=60)
    assert failed.status() == "FAILED"
    # The library does not show why.
    error = local.get(f"status/{failed.job_id}")["error"]
    assert "width" in error and "steps" in error


def test_runpod_s_asynchronous_client(local: Local, client: Any, voice: str) -> None:
    async def session() -> None:
        async with aiohttp.ClientSession() as http:
            endpoint = runpod.AsyncioEndpoint("local", http)  # pyright: ignore[reportArgumentType]
            job: Any = await endpoint.run({**IMAGE, "prompt": "not waited for"})
            assert (await job.output(timeout=60))["height"] == 480
            assert await job.status() == "COMPLETED"
            assert [piece async for piece in job.stream()] == []
            long = await endpoint.run(batch("asynchronous", voice, 20))
            assert (await long.cancel())["status"] == "CANCELLED"
            assert await long.status() == "CANCELLED"
            assert (await endpoint.health())["workers"]["unhealthy"] == 0
            assert (await endpoint.purge_queue())["status"] == "completed"

    asyncio.run(session())
    wait_for(lambda: is_idle(local))


def is_idle(local: Local) -> bool:
    queue = requests.get(f"{local.comfy().url}/queue", timeout=10).json()
    return not queue["queue_running"] and not queue["queue_pending"]


def test_a_batch_its_progress_and_its_webhook(local: Local, client: Any, voice: str) -> None:
    made = local.metric("story_studio_results_total", kind="clips", how="made")
    with Receiver() as receiver:
        webhook = f"http://127.0.0.1:{receiver.server_port}/done?token=secret"
        job = client.run({"input": batch("session", voice, 3, film=True), "webhook": webhook})
        messages = []
        while job.status() in OPEN:
            messages.append(local.get(f"status/{job.job_id}").get("output"))
            time.sleep(0.1)
        output = job.output()
        assert output["status"] == "complete" and output["film_url"].endswith("film.mp4")
        assert {"clips", "film"} & {
            message["phase"] for message in messages if message and "phase" in message
        }
        (received,) = wait_for(lambda: receiver.received)
        receiver.shutdown()
    assert received == local.get(f"status/{job.job_id}")
    assert local.metric("story_studio_results_total", kind="clips", how="made") == made + 3
    assert local.metric("story_studio_jobs_total", task="batch", status="COMPLETED") >= 1
    # The same again is found.
    again = client.run_sync(batch("session", voice, 3, film=True))
    assert again["made"] == {"stills": 0, "clips": 0, "films": 0}
    assert again["reused"] == {"stills": 3, "clips": 3, "films": 1}
    assert local.metric("story_studio_results_total", kind="clips", how="reused") >= 3
    assert "secret" not in read(local.folder / "log")


def test_a_cancelled_job_stops_comfyui(local: Local, client: Any, voice: str) -> None:
    job = client.run(batch("cancelled", voice, 40))
    wait_for(lambda: not is_idle(local))
    assert job.cancel()["status"] == "CANCELLED"
    assert job.status() == "CANCELLED"
    after = client.run_sync({**IMAGE, "prompt": "after"}, timeout=60)
    assert after["width"] == 832 and is_idle(local)
    # A job that has ended stays as it is.
    assert local.post(f"cancel/{job.job_id}")["status"] == "CANCELLED"


def test_a_job_out_of_time_can_be_retried(local: Local, voice: str) -> None:
    body = {"input": batch("late", voice, 40), "policy": {"executionTimeout": 1000}}
    job = local.post("run", body)["id"]
    assert local.wait(job)["status"] == "TIMED_OUT"
    wait_for(lambda: is_idle(local))
    assert local.post(f"retry/{job}") == {"id": job, "status": "IN_QUEUE"}
    assert "IN_QUEUE" in local.post(f"retry/{job}")["error"] or local.get(f"status/{job}")["status"] in OPEN
    local.post(f"cancel/{job}")
    assert local.metric("story_studio_jobs_total", task="batch", status="TIMED_OUT") >= 1


def test_submit_renders_on_it(local: Local, write_story: Callable[..., Path], tmp_path: Path) -> None:
    variables = {"RUNPOD_API_KEY": "any", "RUNPOD_ENDPOINT_BASE_URL": f"{local.base}/v2"}
    story = write_story([0.5, 0.5], "draft", project_id="submitted")
    command = [sys.executable, "-m", "driver", "submit", str(story), "--endpoint", "local"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "here")],
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "here" / "submitted").iterdir()} >= {
        "manifest.json",
        "scene_1_video.mp4",
        "scene_2_video.mp4",
    }


def test_the_client_s_example_runs_as_written(local: Local) -> None:
    page = read(ROOT / "driver" / "runpod" / "README.md")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    variables = {"RUNPOD_API_KEY": "any", "RUNPOD_ENDPOINT_BASE_URL": f"{local.base}/v2"}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "custom_nodes")])
    results = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", example],
            env=environment() | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        results += re.findall(r"^file:///\S+\.png \d+ [0-9a-f]{64}$", done.stdout, re.MULTILINE)
    # Two jobs with one idempotency key have the same address, seed and content.
    first, second = results
    assert first == second


def nested(depth: int) -> bytes:
    return b'{"input": {"workflow": ' + b"[" * depth + b"]" * depth + b"}}"


REFUSED: list[tuple[str, str, bytes, dict[str, str], int]] = [
    ("POST", "run", b"", {}, 400),
    ("POST", "run", b"{", JSON, 400),
    ("POST", "run", b"\xff\xfe", JSON, 400),
    ("POST", "run", b'{"prompt": "no input"}', JSON, 400),
    ("POST", "run", b'{"input": {"width": NaN}}', JSON, 400),
    ("POST", "run", nested(300), JSON, 400),
    ("POST", "run", nested(100_000), JSON, 400),
    ("POST", "run", b'{"input": "' + b"x" * (10 * 2**20) + b'"}', JSON, 400),
    ("POST", "runsync", b'{"input": "' + b"x" * (20 * 2**20) + b'"}', JSON, 400),
    ("POST", "run", b'{"input": {}, "policy": {"executionTimeout": "soon"}}', JSON, 400),
    ("POST", "run", b'{"input": {}, "policy": {"ttl": -1}}', JSON, 400),
    ("POST", "run", b'{"input": {}, "webhook": "file:///etc/passwd"}', JSON, 400),
    ("POST", "runsync?wait=1", b'{"input": {}}', JSON, 400),
    ("POST", "runsync?wait=forever", b'{"input": {}}', JSON, 400),
    # What a page in a browser can send without asking first.
    ("POST", "run", b'{"input": {}}', {"Content-Type": "text/plain"}, 415),
    ("POST", "run", b'{"input": {}}', {**JSON, "Origin": "https://example.com"}, 403),
    ("POST", "purge-queue", b"", {"Origin": "null"}, 403),
    ("GET", "health", b"", {"Sec-Fetch-Site": "cross-site"}, 403),
    ("GET", "health", b"", {"Host": "rebound.example.com"}, 403),
    ("GET", "health", b"", {"Host": "rebound.example.com:8000"}, 403),
    ("GET", "status/unknown-u1", b"", {}, 404),
    ("POST", "cancel/unknown-u1", b"", {}, 404),
    ("POST", "retry/unknown-u1", b"", {}, 404),
    ("GET", "stream/unknown-u1", b"", {}, 404),
    ("GET", "../other/health", b"", {}, 404),
    ("GET", "elsewhere", b"", {}, 404),
    ("GET", "../../job-take/local-1", b"", {}, 404),
    ("GET", "run", b"", {}, 405),
    ("DELETE", "health", b"", {}, 405),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    REFUSED,
    ids=[f"{n}-{refused[1]}" for n, refused in enumerate(REFUSED)],
)
def test_wrong_and_hostile_requests_are_refused(
    local: Local, method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = local.get("health")["jobs"]
    request = requests.Request(method, local.base, data=body, headers=headers).prepare()
    # Set here, because requests resolves dots.
    request.url = f"{local.url}/{path}"
    with requests.Session() as session:
        answer = session.send(request, timeout=30)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json().keys() == {"error"} and answer.json()["error"]
    assert local.get("health")["jobs"] == before


def test_answers_are_as_the_document_says(local: Local, voice: str) -> None:
    document = requests.get(f"{local.base}/openapi.json", timeout=10).json()

    def is_valid(answer: Any, name: str) -> bool:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return Draft202012Validator(schema).is_valid(answer)

    job = local.post("runsync", {"input": batch("documented", voice, 1)})
    assert is_valid(job, "JobState") and is_valid(job["output"], "BatchAnswer")
    failed = local.post("runsync", {"input": {"task": "image", "witdh": 832}})
    assert is_valid(failed, "JobState") and is_valid(failed["output"], "Failure") and failed["error"]
    assert is_valid(local.get("health"), "Health")
    assert is_valid(local.get("status/unknown"), "Refusal") and not is_valid(job, "Refusal")


def test_labels_of_metrics_are_the_endpoint_s_own(local: Local) -> None:
    before = requests.get(f"{local.base}/metrics", timeout=10).text
    local.post("runsync", {"input": {"task": "<script>", "prompt": "of a client"}})
    after = requests.get(f"{local.base}/metrics", timeout=10).text
    assert "script" not in after and "of a client" not in after
    assert len(before.splitlines()) == len(after.splitlines())
    assert local.metric("story_studio_jobs_total", task="unknown", status="FAILED") == 1
    assert local.metric("story_studio_worker_info") == 1


def test_a_worker_that_dies_is_replaced_and_its_job_done_again(local: Local, voice: str) -> None:
    body = {"input": batch("killed", voice, 4)}
    job = local.post("run", body)["id"]
    wait_for(lambda: local.get(f"status/{job}").get("output"))
    first = local.worker()
    first.kill()
    ended = local.wait(job)
    assert (ended["status"], ended["workerId"]) == ("COMPLETED", "local-2")
    assert local.metric("story_studio_worker_restarts_total", reason="died") == 1
    assert local.get("health")["jobs"]["retried"] >= 1


def test_sigterm_ends_it_with_all_that_it_started(local: Local, voice: str) -> None:
    job = local.post("run", {"input": batch("ended", voice, 40)})["id"]
    wait_for(lambda: local.get(f"status/{job}").get("output"))
    family = psutil.Process(local.process.pid).children(recursive=True)
    assert any(is_comfyui(process.cmdline()) for process in family)
    local.process.send_signal(signal.SIGTERM)
    assert local.process.wait(30) == 0
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert "Traceback" not in read(local.folder / "log")
