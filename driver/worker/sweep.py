"""Keeps a worker's disk, the volume and the shared results in the bucket within bounds, beside its jobs."""

from __future__ import annotations

import logging
import math
import re
import shutil
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from story_studio.story.results import KEY, Kind

from ..storage.folder import FolderStore
from ..storage.store import Entry, StorageError, Store
from . import log
from .disk import Disk, remove_abandoned, touch
from .restore import SHARED
from .retention import Limits, Use, removable_until

_RESERVE_SHARE, _RESERVE_BYTES = 0.1, 5e9
"""The part of a file system that is kept free, and the most bytes. RunPod wants a tenth free at the start."""
_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 5.0, 600.0
"""Between two sweeps of the disk, at least and at most."""
_PAUSE_LENGTHS, _PAUSE_WORK = 3, 50
"""The same in lengths of the last sweep, and in seconds that it kept a processor busy."""
_BUCKET_SECONDS, _BUCKET_JOBS = 24 * 3600.0, 1000
"""Between two sweeps of the bucket, by any worker; and the jobs after which one is due in any case."""
_AT_ONCE = 1000
_SHARE_OF_STORE = 0.1
_SWEPT = f"{SHARED}/sweeps"
_RESULT = re.compile(rf"{SHARED}/({'|'.join(kind.folder for kind in Kind)})/{KEY}\.[a-z0-9]+")

logger = logging.getLogger(__name__)


class Sweeper:
    """Removes what has not been used for long, or is too much, least recently used first.

    A job marks what it uses, and what was used since the oldest running job began stays. Other workers may
    share the store: what they remove between this one's look-up and its use is made again.

    Args:
        limits: for the worker's disk, and for the store.
        disk: the worker's.
        store: a folder is swept whole; of a bucket, only the results that workers share, because what
            clients got addresses of is theirs.
    """

    def __init__(self, limits: Limits, disk: Disk, store: Store):
        self._limits, self._disk, self._store = limits, disk, store
        self._began: dict[object, float] = {}
        self._jobs = 0
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()
        self._earliest = self._next = self._next_of_bucket = 0.0

    @contextmanager
    def job(self) -> Iterator[None]:
        """What is used in this block stays until its end."""
        token = object()
        with self._lock:
            self._began[token] = time.time()
            self._jobs += 1
        try:
            if self._is_soon_full():
                self.sweep()
            yield
        finally:
            with self._lock:
                del self._began[token]
            self._sweep_if_due()

    def touch(self, path: Path) -> bool:
        """Marks a file or folder as used by a running job; False if it does not exist."""
        # Not between a sweep's last look at it and its removal.
        with self._lock:
            return touch(path)

    def touch_input(self, name: str) -> bool:
        """`touch` for a file in ComfyUI's input folder."""
        return self.touch(self._disk.input / name)

    def is_low(self) -> bool:
        """Whether less space than the reserve is free on any of the worker's file systems."""
        return any(_missing(root) > 0 for root in self._roots())

    def make_room(self, store_is_full: bool) -> None:
        """Removes whatever no running job uses from the worker's disk.

        Of a store in a folder, what exceeds its limits or the space goes. If it is full, a part goes in any
        case: where a quota is exceeded, there may seem to be space.
        """
        self.sweep(share_of_disk=1, share_of_store=_SHARE_OF_STORE if store_is_full else 0)

    def sweep(self, share_of_disk: float = 0, share_of_store: float = 0) -> None:
        """One sweep of the worker's disk and of a store in a folder. Failures are only logged.

        Args:
            share_of_disk, share_of_store: of what is kept there, so much goes even within the limits.
        """
        with self._sweeping:
            began, work_began = time.monotonic(), time.thread_time()
            for what, part in (
                ("its disk", lambda: self._sweep_disk(share_of_disk)),
                ("the folder of results", lambda: self._sweep_folder(share_of_store)),
            ):
                self._logged(what, part)
            now = time.monotonic()
            self._earliest = now + _PAUSE_SECONDS
            work = time.thread_time() - work_began
            pause = max(_PAUSE_LENGTHS * (now - began), _PAUSE_WORK * work)
            self._next = max(self._earliest, now + min(_MAX_PAUSE_SECONDS, pause))

    def sweep_bucket(self) -> None:
        """One sweep of the bucket, unless a worker has made one within a day. Failures are only logged."""
        jobs, self._jobs = self._jobs, 0
        self._next_of_bucket = time.monotonic() + _BUCKET_SECONDS
        self._logged("the bucket", lambda: self._sweep_bucket(jobs >= _BUCKET_JOBS))

    def _sweep_if_due(self) -> None:
        disk = time.monotonic() >= self._next or self._is_soon_full()
        bucket = not isinstance(self._store, FolderStore) and (
            time.monotonic() >= self._next_of_bucket or self._jobs >= _BUCKET_JOBS
        )
        if (disk or bucket) and not self._sweeping.locked():
            parts = [self.sweep] * disk + [self.sweep_bucket] * bucket
            threading.Thread(target=lambda: [part() for part in parts], name="sweep", daemon=True).start()

    def _is_soon_full(self) -> bool:
        return time.monotonic() >= self._earliest and self.is_low()

    def _logged(self, what: str, part: Callable[[], tuple[int, int]]) -> None:
        try:
            count, size = part()
        except (OSError, StorageError) as error:
            logger.warning("Retention: %s was not swept: %s", what, error)
        except Exception:
            logger.exception("Retention: %s was not swept", what)
        else:
            if count:
                text = f"Retention: removed {count} files of {size / 1e6:.1f} MB from {what}"
                log.event("swept", text, files=count, bytes=size)

    def _sweep_disk(self, share: float) -> tuple[int, int]:
        count, size = remove_abandoned()
        uses: defaultdict[int, list[Use]] = defaultdict(list)
        for file in self._disk.files():
            uses[file.device].append(Use(file.used, file.bytes))
        now, busy_since = time.time(), self._busy_since()
        every = [use for of_device in uses.values() for use in of_device]
        going = share * sum(use.bytes for use in every)
        until = removable_until(every, self._limits, now, missing=going, busy_since=busy_since)
        missing = {root.stat().st_dev: _missing(root) for root in self._disk.roots if root.exists()}
        untils = {
            device: max(
                until,
                removable_until(
                    of_device, Limits(), now, missing=missing.get(device, 0), busy_since=busy_since
                ),
            )
            for device, of_device in uses.items()
        }
        for file in self._disk.files():
            if file.used <= untils.get(file.device, -math.inf):
                with self._lock:
                    removed = self._disk.remove(file, untils[file.device], busy_since)
                count, size = count + removed, size + removed * file.bytes
        return count, size

    def _sweep_folder(self, share: float) -> tuple[int, int]:
        if not isinstance(self._store, FolderStore):
            return 0, 0
        uses = [Use(entry.used, entry.bytes) for entry in self._store.entries()]
        until = removable_until(
            uses,
            self._limits,
            time.time(),
            missing=max(_missing(self._store.folder), share * sum(use.bytes for use in uses)),
            busy_since=self._busy_since(),
        )
        return self._remove(lambda entry: entry.used <= until, "")

    def _sweep_bucket(self, overdue: bool) -> tuple[int, int]:
        last = max((entry.used for entry in self._store.entries(_SWEPT)), default=0.0)
        if time.time() - last < _BUCKET_SECONDS and not overdue:
            return 0, 0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "last.txt")
            path.write_text("The shared results were last swept when this was written.\n")
            self._store.upload(path, f"{_SWEPT}/{path.name}")
        # By minutes, because a bucket may have any number of files.
        minutes: Counter[int] = Counter()
        for entry in self._store.entries(SHARED):
            if _RESULT.fullmatch(entry.key):
                minutes[int(entry.used // 60)] += entry.bytes
        uses = (Use(minute * 60 + 59.999, size) for minute, size in minutes.items())
        until = removable_until(uses, self._limits, time.time(), busy_since=self._busy_since())
        return self._remove(
            lambda entry: entry.used <= until and _RESULT.fullmatch(entry.key) is not None, SHARED
        )

    def _remove(self, goes: Callable[[Entry], bool], below: str) -> tuple[int, int]:
        count = size = 0
        doomed = (entry for entry in self._store.entries(below) if goes(entry))
        while some := list(islice(doomed, _AT_ONCE)):
            self._store.delete([entry.key for entry in some])
            count, size = count + len(some), size + sum(entry.bytes for entry in some)
        return count, size

    def _busy_since(self) -> float:
        with self._lock:
            return min(self._began.values(), default=math.inf)

    def _roots(self) -> list[Path]:
        own = [self._store.folder] if isinstance(self._store, FolderStore) else []
        return [*self._disk.roots, *own]


def _missing(root: Path) -> float:
    """Bytes that are to become free on a folder's file system, so that the reserve is."""
    with suppress(OSError):
        usage = shutil.disk_usage(root)
        return max(0.0, min(_RESERVE_SHARE * usage.total, _RESERVE_BYTES) - usage.free)
    return 0.0
