"""`models pull`: a profile's model files, from the Hugging Face Hub into a folder laid out as ComfyUI's."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants, get_hf_file_metadata
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, build_hf_headers, silent_tqdm
from huggingface_hub.utils import logging as hub_logging
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from story_studio.story.problems import Problem, Problems

from .. import terminal
from ..comfy.models import ModelFile, known_models, locate
from ..files import is_disk_full

_AT_ONCE = 4
"""Downloads at once: a single connection seldom uses all the bandwidth of a data centre."""
_QUIET_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""


class _Remote(NamedTuple):
    """A file on the Hub: its address at one commit, its size, its ETag (its SHA-256), and where it goes."""

    url: str
    size: int
    etag: str
    target: Path

    @property
    def part(self) -> Path:
        """The incomplete download, named after the content too, so that another version is never resumed."""
        content = hashlib.sha256(self.etag.encode()).hexdigest()[:12]
        return self.target.with_name(f"{self.target.name}.{content}.part")

    @property
    def arrived(self) -> int:
        """The size of `part` in bytes."""
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0


def pull(profile: str, models: Path) -> int:
    """Downloads a profile's model files that `models` lacks or has only in part.

    An interrupted download is resumed. A file gets its name once its size and its SHA-256 are right, or its
    size alone if a mirror has no SHA-256. HF_ENDPOINT names a mirror, HF_TOKEN a login.

    Returns:
        The exit status: 0 if all files are there, or 1 after the problems were printed.
    """
    needed = [model for model in known_models() if profile in model.needed_by]
    try:
        if lacking := [model for model in needed if not locate(models, model)]:
            _pull(lacking, models / "models" if (models / "models").is_dir() else models)
    except Problems as error:
        for problem in error.problems:
            terminal.console.print(str(problem), style="red", markup=False, soft_wrap=True)
        return 1
    what = f"all {len(needed)} model files are in {models}" if needed else "needs no model files"
    terminal.console.print(f"{profile}: {what}.", markup=False, soft_wrap=True)
    return 0


def _pull(lacking: Sequence[ModelFile], folder: Path) -> None:
    # Its warnings would break the progress bar, and may contain signed addresses.
    hub_logging.set_verbosity_error()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(folder / ".pull.lock", timeout=1):
            _fetch_all(_look_up(lacking, folder))
    except TimeoutError:
        raise _problems(f"Another pull is writing to {folder}: wait for it, or stop it.") from None
    except OSError as error:
        what = f"{folder} cannot be written to ({error.strerror}): choose another folder with --models."
        raise _problems(what) from None


def _problems(last: str, others: Sequence[Problem] = ()) -> Problems:
    return Problems([*others, Problem("", last)])


def _look_up(lacking: Sequence[ModelFile], folder: Path) -> list[_Remote]:
    """The files on the Hub. Raises Problems with everything that keeps any of them from being downloaded."""
    remotes: list[_Remote] = []
    problems: list[Problem] = []
    for model in lacking:
        url = constants.ENDPOINT + urlsplit(model.url or "").path
        try:
            metadata = get_hf_file_metadata(url)
        except HfHubHTTPError as error:
            problems.append(Problem(model.file, _refusal(error, url)))
            continue
        except (httpx2.HTTPError, OSError):
            todo = "check the network (HTTPS_PROXY, HF_HUB_OFFLINE), or set HF_ENDPOINT to a mirror."
            raise _problems(f"{_shown(constants.ENDPOINT)} does not answer: {todo}", problems) from None
        if metadata.commit_hash and metadata.etag and metadata.size:
            pinned = url.replace("/resolve/main/", f"/resolve/{metadata.commit_hash}/")
            target = folder / str(model.folder) / model.file
            remotes.append(_Remote(pinned, metadata.size, metadata.etag, target))
        else:
            what = f"{_shown(url)} does not answer as the Hub does: check HF_ENDPOINT, or unset it."
            problems.append(Problem(model.file, what))
    needed = sum(remote.size - remote.arrived for remote in remotes)
    free = shutil.disk_usage(folder).free
    if needed > free:
        what = f"has {_gb(free)} free, and {_gb(needed)} will be downloaded: free {_gb(needed - free)} more"
        problems.append(Problem("", f"{folder} {what}, or choose another folder with --models."))
    if problems:
        raise _problems("Nothing was downloaded.", problems)
    return remotes


def _fetch_all(remotes: Sequence[_Remote]) -> None:
    total = sum(remote.size for remote in remotes)
    present = sum(remote.arrived for remote in remotes)
    resumed = f", of which {_gb(present)} are here" if present else ""
    terminal.console.print(
        f"{len(remotes)} model file{'s' * (len(remotes) > 1)} to download, {_gb(total)}{resumed}."
    )
    largest_last = sorted(remotes, key=lambda remote: remote.size)
    done: SimpleQueue[tuple[_Remote, str | Exception]] = SimpleQueue()

    def work() -> None:
        with suppress(IndexError):
            while True:
                remote = largest_last.pop()
                try:
                    done.put((remote, _fetch(remote)))
                except Exception as error:
                    done.put((remote, error))

    for _ in range(_AT_ONCE):
        # Not a pool, which waits for its threads: Ctrl-C would last as long as a silent server's timeout.
        threading.Thread(target=work, daemon=True).start()
    ended: dict[_Remote, str] = {}
    with _progress(total, present) as show:
        while len(ended) < len(remotes):
            with suppress(Empty):
                remote, what = done.get(timeout=0.5)
                if isinstance(what, Exception):
                    raise what
                ended[remote] = what
            show(sum(remote.size if remote in ended else remote.arrived for remote in remotes))
    if problems := [Problem(remote.target.name, what) for remote, what in ended.items() if what]:
        count = f"{len(problems)} of {len(remotes)} files were not downloaded"
        raise _problems(f"{count}; what has arrived is kept, and the same command resumes.", problems)


def _fetch(remote: _Remote) -> str:
    """Downloads a file, or resumes that. Returns what is wrong, or an empty text."""
    target, part = remote.target, remote.part
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for other in target.parent.glob(f"{target.name}.*.part"):
            if other != part:
                other.unlink()
        _receive(remote)
        if not _is_intact(remote):
            part.unlink()
            return f"{_shown(remote.url)} arrived damaged: try again, or set HF_ENDPOINT to a mirror."
        part.replace(target)
        terminal.console.print(f"{target.name}: {_gb(remote.size)}, verified", soft_wrap=True)
        return ""
    except HfHubHTTPError as error:
        return _refusal(error, remote.url)
    except (httpx2.HTTPError, OSError) as error:
        if not isinstance(error, OSError) or error.errno is None:
            return f"{_shown(remote.url)} was cut off after {_gb(remote.arrived)} of {_gb(remote.size)}."
        return f"{target.parent}: {'the disk is full' if is_disk_full(error) else error.strerror}."


def _receive(remote: _Remote) -> None:
    """Appends the rest of a file, and resumes after errors as long as every attempt receives something."""
    with remote.part.open("ab") as file:
        while (start := file.tell()) < remote.size:
            try:
                http_get(
                    remote.url,
                    file,
                    resume_size=start,
                    headers=build_hf_headers(),
                    expected_size=remote.size,
                    tqdm_class=silent_tqdm,  # pyright: ignore[reportArgumentType] # the Hub's own, though no tqdm
                )
            except (httpx2.TransportError, OSError):
                if file.tell() <= start:
                    raise
        file.flush()
        # A crash of the machine must not leave a file with its final name and without its content.
        os.fsync(file.fileno())


def _is_intact(remote: _Remote) -> bool:
    if remote.arrived != remote.size:
        return False
    with remote.part.open("rb") as file:
        is_sha256 = re.fullmatch("[0-9a-f]{64}", remote.etag)
        return not is_sha256 or hashlib.file_digest(file, "sha256").hexdigest() == remote.etag


@contextmanager
def _progress(total: int, present: int) -> Iterator[Callable[[int], None]]:
    """A function that shows how many bytes have arrived."""
    if terminal.console.is_terminal:
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        with Progress(*columns, console=terminal.console) as bars:
            task = bars.add_task("", total=total, completed=present)
            yield lambda arrived: bars.update(task, completed=arrived)
        return
    last = time.monotonic()

    def show(arrived: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _QUIET_SECONDS:
            last = time.monotonic()
            terminal.console.print(f"{_gb(arrived)} of {_gb(total)}")

    yield show


def _refusal(error: HfHubHTTPError, url: str) -> str:
    status, repository = error.response.status_code, _shown(url).partition("/resolve/")[0]
    todo = {
        401: f"ask for access at {repository}, and set HF_TOKEN to a token of that account",
        404: f"look for it at {repository}, or set HF_ENDPOINT to another mirror",
        429: "wait some minutes, or set HF_TOKEN",
    }
    return f"{_shown(url)} answers {status}: {todo.get(401 if status == 403 else status, 'try again later')}."


def _shown(url: str) -> str:
    """An address without its login and signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"
