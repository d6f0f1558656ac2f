"""A headless ComfyUI process on this machine. It listens on loopback only, and never outlives the driver."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import story_studio
from story_studio.ram import out_of_memory_kills, read_ram
from story_studio.story.memory import CAREFUL

from ..paths import COMFYUI, IN_IMAGE, NODE_PACKS, SET_UP
from .care import is_careful
from .confinement import confine, environment
from .flags import ServerError, choose_flags, merge_flags, read_core
from .log_file import LogFile
from .machine import inspect_machine
from .model_roots import MODEL_FOLDERS, folder_names, model_roots
from .models import fits_in_memory, overshadowed

PACK = Path(story_studio.__file__).resolve().parent
GRACE_SECONDS = 10
LOG_LINES = 200

_SECRET = re.compile(
    r"^(AWS|BUCKET|RUNPOD)_|(^|_)TOKENS?$|SECRET|_KEY|PASSW|CREDENTIAL|_HEADERS$", re.IGNORECASE
)

_SUPERVISOR, _LAUNCH = (Path(__file__).resolve().with_name(name) for name in ("supervisor.py", "launch.py"))
_COLOUR = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")

logger = logging.getLogger(__name__)


class Server:
    """A ComfyUI process. As a context manager it is ready within the block and gone after it.

    To do something else while it starts, call `start()` early and `wait()` when it is needed.

    Args:
        workspace: ComfyUI's base directory, created if necessary, with custom_nodes, input, user, models and
            server.log.
        output: the folder for finished files.
        models: a folder of models in ComfyUI's layout, or one that contains such a folder `models`. It adds
            to the workspace's own; RunPod's cached models below it are found too.
        extra_flags: more flags for ComfyUI, which override the chosen ones.
        ready_seconds: how long it may take until it answers.
        port: the port on loopback; 0 for any free one.
        confined: whether it runs strangers' workflows, and is kept from all that it does not need.

    Attributes:
        url: its address.
        on_log: called with each line of its log, in a thread of its own.
    """

    def __init__(
        self,
        workspace: Path,
        output: Path,
        *,
        models: Path | None = None,
        extra_flags: Sequence[str] = (),
        ready_seconds: float = 180,
        port: int = 0,
        confined: bool = False,
    ):
        self.workspace, self.output, self.models = workspace.resolve(), output.resolve(), models
        self.extra_flags, self.ready_seconds, self.confined = extra_flags, ready_seconds, confined
        self.on_log: Callable[[str], None] = lambda _: None
        self.port = _free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._temp: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._drain: threading.Thread | None = None
        self._deadline = 0.0
        self._kills: int | None = None

    def __enter__(self) -> Server:
        try:
            self.start()
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the process and returns at once.

        Raises:
            ServerError: ComfyUI is not set up, or the arguments or flags are wrong.
        """
        if not (COMFYUI / "main.py").is_file():
            raise ServerError(f"There is no ComfyUI in {COMFYUI}: {SET_UP}.")
        core, machine = read_core(COMFYUI), inspect_machine()
        careful = is_careful(self.workspace)
        models = self.models or self.workspace / "models"
        keeps_models = not careful and fits_in_memory(
            models, read_ram().total, machine.gpu is None, self.extra_flags
        )
        chosen = choose_flags(machine, core, self.extra_flags, keeps_models)
        flags = merge_flags(chosen, self.extra_flags, core)
        main = [str(COMFYUI / "main.py"), *self._prepare(), *flags]
        command = [sys.executable, "-P", str(_LAUNCH), *main]
        variables = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
        confinement = None
        if self.confined and self._temp:
            programs = [_LAUNCH, PACK, *([IN_IMAGE] if IN_IMAGE else [])]
            confinement = confine(self.workspace, self.output, models, programs)
            variables = environment(variables, self.workspace, self._temp)
        variables |= {CAREFUL: "1"} if careful else {}
        logger.info("Starting ComfyUI at %s with %s", self.url, " ".join(flags))
        self._deadline = time.monotonic() + self.ready_seconds
        self._kills = out_of_memory_kills()
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), json.dumps(confinement)]
        self._process = subprocess.Popen(
            [*supervisor, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # The fault handler writes the stack of a crashed thread into the log.
            env={**variables, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
            start_new_session=True,
        )
        self._drain = threading.Thread(target=self._read_log, args=(self._process.stdout,), daemon=True)
        self._drain.start()

    def wait(self) -> None:
        """Waits until the server answers, at most `ready_seconds` after `start`.

        Raises:
            ServerError: it died or took too long; with the end of its log.
        """
        while not (self._answers() and self.alive()):
            late = time.monotonic() > self._deadline
            if late or not self.alive():
                self.stop()
                what = f"did not answer within {self.ready_seconds:g} s" if late else "exited while starting"
                raise ServerError(
                    f"ComfyUI {what}. The end of {self.workspace / 'server.log'}:\n{self.log_tail(20)}"
                )
            time.sleep(0.05)

    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log, at most 200, without colours."""
        return "\n".join(list(self._log)[-lines:])

    def ending(self) -> str:
        """How the process ended, in a few words."""
        status = self._process.wait(GRACE_SECONDS) if self._process else 0
        # Of the supervisor itself, if it was killed.
        status = 128 - status if status < 0 else status
        if status > 128 and status - 128 in [*signal.Signals]:
            return f"killed by {signal.Signals(status - 128).name}"
        return f"exit status {status}"

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed the process because memory ran out, judging from the kernel's counter."""
        if not self._process or self._process.poll() != 128 + signal.SIGKILL:
            return False
        kills = out_of_memory_kills()
        return kills is None or kills != self._kills

    def ended(self) -> ServerError:
        """The error for a process that exited unexpectedly, with the end of its log."""
        return ServerError(
            "ComfyUI exited unexpectedly; what is finished is kept. The end of "
            f"{self.workspace / 'server.log'}:\n{self.log_tail(20)}"
        )

    def abort(self) -> None:
        """Kills a process that hangs, after the stacks of its threads were written to its log."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Ends the process and all that it started, within about 10 s. Does nothing if it has ended."""
        if self._process and self._process.poll() is None:
            # The group is the supervisor, ComfyUI, and what ComfyUI started, such as ffmpeg.
            os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._drain:
            self._drain.join(5)
        if self._temp:
            shutil.rmtree(self._temp, ignore_errors=True)

    def _prepare(self) -> list[str]:
        for folder in ("custom_nodes", "input", "user", "models", "temp"):
            (self.workspace / folder).mkdir(parents=True, exist_ok=True)
        self.output.mkdir(parents=True, exist_ok=True)
        _link(PACK, self.workspace / "custom_nodes" / PACK.name)
        _link_others(NODE_PACKS, self.workspace / "custom_nodes")
        # ComfyUI empties its temp folder when it starts, so each server has its own.
        self._temp = Path(tempfile.mkdtemp(prefix="server-", dir=self.workspace / "temp"))
        flags = ["--listen", "127.0.0.1", "--port", str(self.port), "--base-directory", str(self.workspace)]
        flags += ["--output-directory", str(self.output), "--temp-directory", str(self._temp)]
        flags += ["--database-url", "sqlite:///:memory:", "--disable-auto-launch"]
        flags += ["--max-upload-size", "2048"]
        # JSON is valid YAML, without YAML's rules about quoting.
        paths = self._temp / "model_paths.yaml"
        models = _model_paths(self.models or self.workspace / "models", self._temp / "models")
        paths.write_text(json.dumps(models), encoding="utf-8")
        return [*flags, "--extra-model-paths-config", str(paths)]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/system_stats")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _read_log(self, pipe: IO[bytes]) -> None:
        with pipe, LogFile(self.workspace / "server.log") as file:
            rest = b""
            while block := os.read(pipe.fileno(), 2**16) or (rest and b"\n"):
                *lines, rest = (rest + block).split(b"\n")
                # A progress bar rewrites its line with \r: the log gets what would remain on a screen.
                for line in lines:
                    shown = _COLOUR.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
                    file.write(shown)
                    self._log.append(shown.decode(errors="replace"))
                    self.on_log(self._log[-1])
                rest = rest[-(2**16) :]


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ServerError(f"Port {port} is in use: choose another, or 0 for any free one.") from None
        return probe.getsockname()[1]


def _link(pack: Path, link: Path) -> None:
    if link.exists() and not link.is_symlink():
        return
    if not (pack / "__init__.py").is_file():
        raise ServerError(f"The node pack is not in {pack}: reinstall Story Studio.")
    if not link.is_symlink() or link.readlink() != pack:
        link.unlink(missing_ok=True)
        link.symlink_to(pack, target_is_directory=True)


def _link_others(packs: Path | None, folder: Path) -> None:
    """Links the node packs that are in the same folder as this project's, wherever the workspace is."""
    for link in folder.iterdir():
        if link.is_symlink() and link.readlink().parent == packs and not link.exists():
            link.unlink()
    for pack in packs.iterdir() if packs and packs.is_dir() else ():
        link, loads = folder / pack.name, pack.suffix == ".py" or (pack / "__init__.py").is_file()
        if loads and pack != PACK and not os.path.lexists(link):
            link.symlink_to(pack)


def _model_paths(models: Path, links: Path) -> dict[str, dict[str, object]]:
    """ComfyUI's search paths, in the order of `model_roots`.

    Args:
        models: the folder of models.
        links: a folder to be made for links to complete files, where ComfyUI would choose incomplete ones.
    """
    root = models.resolve()
    if not root.is_dir():
        raise ServerError(f"The models folder {models} does not exist: create it, or choose another.")
    for name, path in overshadowed(root).items():
        (links / name).parent.mkdir(parents=True, exist_ok=True)
        (links / name).symlink_to(path)
    found: dict[str, dict[str, object]] = {}
    # ComfyUI puts each default path before those that it has, so the last one comes first.
    for number, base in enumerate(reversed([links, *model_roots(root)])):
        # Those of the volume also where they do not exist: a file may be added while ComfyUI runs.
        may_grow = base in (root, root / "models")
        folders = {
            folder: "\n".join(
                name for name in reversed(folder_names(folder)) if may_grow or (base / name).is_dir()
            )
            for folder in MODEL_FOLDERS
        }
        found[f"story_studio_{number}"] = {"base_path": str(base), "is_default": True, **folders}
    return found
