"""`endpoint`: RunPod's API on this machine, with the worker behind it."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

from story_studio.story.problems import Problem, Problems

from .. import terminal
from ..comfy.machine import inspect_machine
from ..endpoint.serve import LocalEndpoint, Settings
from ..endpoint.worker_process import HANDLER, WorkerFailed
from ..fetch.guard import is_loopback
from ..runpod.client import KEY
from ..storage import LOCAL_STORE
from ..terminal import FAILED, OK
from ..worker import log
from ..worker.retention import DAYS, GB
from .arguments import add_server, check_writable, models_folder

LOG = "worker.log"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `endpoint`."""
    command.description = (
        "Serves RunPod's API (/v2/ID/run, /runsync, /status, /cancel, /health ...) on this machine, over the "
        "worker that runs on RunPod, for programs that use RunPod's client or HTTP. /metrics is for "
        f"Prometheus, /openapi.json describes the API. With {KEY} set, clients must send that key; beyond "
        "loopback it must be set."
    )
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    command.add_argument(
        "--port", type=int, default=8000, help="port to listen on (8000); 0 for any free one"
    )
    command.add_argument("--id", default="local", help="the endpoint's id in the addresses (local)")
    command.add_argument(
        "--output",
        type=Path,
        default=Path("output") / "endpoint",
        help="folder of the results, for the endpoint alone (output/endpoint): what was not used for longest "
        "is removed from it when the disk is full, and as RETENTION_DAYS and RETENTION_GB say if set",
    )
    add_server(command)


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C; returns the exit status.

    Raises:
        Problems: what is wrong with the arguments or the set-up.
    """
    settings = _settings(options)
    check_writable(options.output)
    piped = not terminal.console.is_terminal
    if piped:
        log.set_up()
    if "STORY_STUDIO_CPU" in settings.environment:
        terminal.say("This machine has no GPU: the worker runs on the CPU, for drafts and tests.", "yellow")

    def on_line(line: str) -> None:
        # In a container, the worker's output belongs into the container's log.
        if piped:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    try:
        asyncio.run(LocalEndpoint(settings, on_line).run(lambda url: _greet(url, settings)))
    except WorkerFailed as error:
        terminal.say(str(error), "red")
        return FAILED
    terminal.say("The endpoint has ended. What is finished is kept: the same jobs find it again.")
    return OK


def _settings(options: argparse.Namespace) -> Settings:
    key, problems = os.environ.get(KEY, "").strip(), []
    if not is_loopback(options.host) and not key:
        what = (
            f"is not set, and other machines can reach {options.host}: set it to a key of your own, which "
            "clients must send (docker run -e RUNPOD_API_KEY=...), or use --host 127.0.0.1."
        )
        problems.append(Problem(KEY, what))
    if key and not (key.isascii() and key.isprintable()):
        problems.append(Problem(KEY, "has characters that no HTTP header may have: set another one."))
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options.id):
        problems.append(Problem("--id", "may have letters, digits, - and _, and 64 of them."))
    if not 0 <= options.port <= 65535:
        problems.append(
            Problem("--port", "is not a port: choose one from 1 to 65535, or 0 for any free one.")
        )
    if not HANDLER.is_file():
        what = f"is not in {HANDLER.parent}: run this command in a checkout of Story Studio."
        problems.append(Problem(HANDLER.name, what))
    if options.models and not options.models.is_dir():
        what = f"{options.models} does not exist: create the folder, or choose another."
        problems.append(Problem("--models", what))
    if problems:
        raise Problems(problems)
    return Settings(
        host=options.host,
        port=options.port,
        endpoint_id=options.id,
        key=key,
        log=options.workspace.absolute() / LOG,
        environment=_worker_environment(options),
    )


def _worker_environment(options: argparse.Namespace) -> dict[str, str]:
    environment = {
        "WORKSPACE_DIR": str(options.workspace.absolute()),
        "OUTPUT_DIR": str(options.output.absolute()),
        "MODEL_CACHE_DIR": str(models_folder(options).absolute()),
    }
    # RunPod's disks are the worker's alone, and this one is a person's: what is old stays.
    environment |= {name: "0" for name in (DAYS, GB) if not os.environ.get(name)}
    if options.flags:
        environment["COMFY_FLAGS"] = shlex.join(options.flags)
    if is_loopback(options.host):
        # The clients are on this machine, too, and can read its files.
        environment[LOCAL_STORE] = "1"
    if inspect_machine().gpu is None:
        environment["STORY_STUDIO_CPU"] = "1"
    return environment


def _greet(url: str, settings: Settings) -> None:
    key = f" -H 'Authorization: Bearer '\"${KEY}\"" if settings.key else ""
    terminal.say(f"Endpoint: {url}  (Ctrl-C ends it; the worker's log is {settings.log})", "bold")
    terminal.say(
        f"Try it: curl {url}/runsync{key} -H 'Content-Type: application/json' "
        """-d '{"input": {"task": "image", "prompt": "A lighthouse at dusk", "profile": "draft"}}'"""
    )
    base = url.rpartition("/")[0]
    terminal.say(f"RunPod's client: RUNPOD_ENDPOINT_BASE_URL={base}, endpoint {settings.endpoint_id}.")
