"""RunPod's worker: job in, driver call, response out."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from driver.comfy.flags import ServerError
from driver.comfy.machine import inspect_machine, torch_build
from driver.comfy.process import Server
from driver.paths import ROOT
from driver.version import version
from driver.worker import log
from driver.worker.health import report_file, reporting
from driver.worker.retention import Limits
from driver.worker.settings import comfy_flags
from story_studio.story.problems import Problem, Problems

VOLUME = Path(os.environ.get("MODEL_CACHE_DIR", ROOT / "workspace"))
"""Models and, without a bucket, finished stills and clips: other workers find them there too."""
WORK = Path(os.environ.get("WORK_DIR", ROOT))
"""What is being made, and ComfyUI's own folders: this worker's alone."""
_LOCAL_FLAGS = {"--test_input", "--rp_serve_api"}
"""The SDK's flags with which a person runs the worker on their own machine."""
_JOBS_AT_ONCE = os.environ.get("JOBS_AT_ONCE", "1")
"""Jobs that a worker takes at once.

It renders one at a time, first those that need the loaded models. For RunPod the others are running too:
their waiting counts towards their `executionTimeout`, so by default there are none.
"""


def main() -> None:
    """Starts ComfyUI and takes jobs until RunPod stops the worker."""
    if _LOCAL_FLAGS & {word.partition("=")[0] for word in sys.argv[1:]}:
        os.environ.setdefault("STORY_STUDIO_LOCAL_STORE", "1")
    log.set_up()
    try:
        if problems := [*_check_jobs_at_once(), *_check_retention(), *_check_gpu()]:
            raise Problems(problems)
        models = VOLUME if VOLUME.is_dir() else None
        folders = (WORK / "workspace", WORK / "output")
        server = Server(*folders, models=models, extra_flags=comfy_flags(), confined=True)
        began = time.monotonic()
        server.start()
        try:
            with reporting(server, report_file(WORK)):
                serve(server, began)
        finally:
            server.stop()
    except (Problems, ServerError) as error:
        raise SystemExit(str(error)) from None


def serve(server: Server, began: float) -> None:
    """Takes jobs as soon as the server answers; `began` is when it was started."""
    # At DEBUG, its default, the SDK logs every answer, with the signatures of addresses.
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
    # Imported here because it takes seconds, in which ComfyUI starts.
    import runpod
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules.rp_http import send_result

    from driver.comfy.client import Comfy
    from driver.comfy.instance import ComfyInstance
    from driver.storage import from_environment
    from driver.storage.folder import FolderStore
    from driver.worker.disk import Disk
    from driver.worker.handler import Handler
    from driver.worker.jobs import Worker
    from driver.worker.sweep import Sweeper
    from story_studio.story.results import STORE

    async def send(job: dict[str, Any], progress: dict[str, Any]) -> None:
        # Not with the SDK's `progress_update`: it posts each message from a thread of its own, in any order
        # and possibly after the result.
        if "RUNPOD_WEBHOOK_POST_OUTPUT" in os.environ:
            async with AsyncClientSession() as session:
                await send_result(session, {"status": "IN_PROGRESS", "output": progress}, job)

    folder = (VOLUME if VOLUME.is_dir() else server.output) / STORE / "store"
    store = from_environment(folder)
    # What was finished while there was no bucket is not made again.
    earlier = FolderStore(folder) if folder.is_dir() and not isinstance(store, FolderStore) else None
    own = store.folder if isinstance(store, FolderStore) else None
    sweeper = Sweeper(Limits.from_environment(), Disk(server.workspace, server.output, own), store)
    comfy = Comfy(server.url, server.alive, forget=True, touch=sweeper.touch_input)
    instance = ComfyInstance(comfy, server, _log_restart)
    worker = Worker(instance, store, server.output, earlier, sweeper)
    handler = Handler(worker, send)
    server.on_log = lambda line: log.comfyui(line, worker.rendering)
    server.wait()
    seconds, gpu = round(time.monotonic() - began, 2), inspect_machine().gpu
    about = f"Story Studio {version()} on {gpu or 'the CPU'}"
    log.event("ready", f"{about}, started in {seconds} s", version=version(), gpu=gpu, seconds=seconds)

    async def handle(job: dict[str, Any]) -> dict[str, Any]:
        return await handler(job)

    runpod.serverless.start({"handler": handle, "concurrency_modifier": lambda _: int(_JOBS_AT_ONCE)})


def _log_restart(sentence: str) -> None:
    log.event("restart", sentence, level=logging.WARNING)


def _check_jobs_at_once() -> list[Problem]:
    if _JOBS_AT_ONCE.isdecimal() and 1 <= int(_JOBS_AT_ONCE) <= 100:
        return []
    return [Problem("JOBS_AT_ONCE", f"{_JOBS_AT_ONCE!r} is not a number of jobs: set 1 to 100, or unset it.")]


def _check_retention() -> list[Problem]:
    try:
        Limits.from_environment()
    except Problems as error:
        return error.problems
    return []


def _check_gpu() -> list[Problem]:
    """On a CPU, the models of every profile but draft take hours, and no client would learn why."""
    if os.environ.get("STORY_STUDIO_CPU") == "1" or inspect_machine().gpu:
        return []
    build = torch_build()
    reason = "the installed PyTorch cannot use one" if build and build[1] == "cpu" else "none is visible"
    todo = "use a machine with one, or set STORY_STUDIO_CPU=1 to render drafts."
    return [Problem("GPU", f"there is none, {reason}: {todo}")]


if __name__ == "__main__":
    main()
