"""The memory that this process may use: the machine's, or less in a container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

GB = 1e9


class Ram(NamedTuple):
    """Memory in GB (10^9 bytes).

    Attributes:
        total: what this process and all others beside it may use.
        free: what is left of it. Cached files count as free, because the kernel drops them when it must.
        contained: whether the limit is that of a container.
    """

    total: float
    free: float
    contained: bool


def read_ram(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Ram:
    """The memory of this process."""
    machine = psutil.virtual_memory()
    total, free, contained = float(machine.total), float(machine.available), False
    for limit, left in _limits(proc, cgroups):
        if limit < machine.total:
            total, free, contained = min(total, limit), min(free, left), True
    return Ram(total / GB, max(free, 0.0) / GB, contained)


def held() -> float:
    """The memory in GB that this process would give back at its end, without the files that it has mapped."""
    info = psutil.Process().memory_info()
    # Linux alone counts what is shared with files.
    return (info.rss - getattr(info, "shared", 0)) / GB


def out_of_memory_kills(proc: Path = Path("/proc")) -> int | None:
    """How many processes of this machine the kernel has killed because memory ran out; None if unknown."""
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d+)$", (proc / "vmstat").read_text(), re.MULTILINE)
        return int(found[1]) if found else None
    return None


def _limits(proc: Path, cgroups: Path) -> Iterator[tuple[float, float]]:
    """The limit of each control group that this process is in, and what is left of it, in bytes."""
    for folder in _groups(proc, cgroups):
        for limit_file, usage_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):
                limit = float((folder / limit_file).read_text())
                used = float((folder / usage_file).read_text())
                yield limit, limit - used + _cached_files(folder)


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """The folders of this process's control groups and of those above, in both versions of the kernel's API.

    In a container the paths in /proc may be those of the host, while its own group is mounted at the top.
    """
    folders = [cgroups, cgroups / "memory"]
    with suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" or "memory" in controllers.split(","):
                root = cgroups if number == "0" else cgroups / "memory"
                leaf = root / path.lstrip("/")
                folders += [folder for folder in (leaf, *leaf.parents) if folder.is_relative_to(root)]
    return list(dict.fromkeys(folders))


def _cached_files(folder: Path) -> float:
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # The names of version 1 that include the groups below begin with `total_`.
    return sum(
        float(stat.get(f"total_{name}", stat.get(name, 0))) for name in ("active_file", "inactive_file")
    )
