"""How much memory a process may use: of the machine, and in containers of both kinds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from story_studio.ram import held, out_of_memory_kills, read_ram

NO_LIMIT = 9_223_372_036_854_771_712
"""What version 1 of the kernel's API says without a limit."""


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    machine = SimpleNamespace(total=16 * 10**9, available=8 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text("pgfault 5\noom_kill 3\nnr_free 1\n")
    return tmp_path / "proc"


def write_group(folder: Path, limit: str, usage: int, cached: int, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        ("memory.max", "memory.current")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    prefix = "" if version == 2 else "total_"
    (folder / "memory.stat").write_text(f"anon 7\n{prefix}active_file {cached}\n{prefix}inactive_file 0\n")


def test_of_a_machine_without_containers(proc: Path, tmp_path: Path) -> None:
    assert read_ram(proc, tmp_path / "nothing") == (16, 8, False)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("outside", [True, False], ids=["path of the host", "path of the container"])
def test_of_a_container(proc: Path, tmp_path: Path, version: int, outside: bool) -> None:
    root = tmp_path / "cgroup" if version == 2 else tmp_path / "cgroup/memory"
    (proc / "self/cgroup").write_text(
        "0::/docker/abc\n" if version == 2 else "5:cpu,memory:/docker/abc\n2:cpu:/x\n"
    )
    group = root if outside else root / "docker/abc"
    write_group(root, "max" if version == 2 else str(NO_LIMIT), 10**9, 0, version)
    write_group(group, str(4 * 10**9), 3 * 10**9, 10**9, version)
    ram = read_ram(proc, tmp_path / "cgroup")
    assert (ram.total, ram.free, ram.contained) == (4, 2, True)


def test_the_narrowest_of_nested_limits_counts(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("0::/a/b\n")
    write_group(tmp_path / "a", str(4 * 10**9), 4 * 10**9, 0, 2)
    write_group(tmp_path / "a/b", str(3 * 10**9), 10**9, 0, 2)
    assert read_ram(proc, tmp_path)[:2] == (3, 0)


def test_more_memory_in_use_than_the_limit_is_none_free(proc: Path, tmp_path: Path) -> None:
    write_group(tmp_path, str(10**9), 2 * 10**9, 0, 2)
    assert read_ram(proc, tmp_path).free == 0


def test_what_a_process_holds_grows_with_its_data() -> None:
    before = held()
    data = np.ones(10**8, np.uint8)
    assert 0.08 < held() - before < 0.2
    assert len(data) == 10**8


def test_kills_are_counted(proc: Path, tmp_path: Path) -> None:
    assert out_of_memory_kills(proc) == 3
    assert out_of_memory_kills(tmp_path) is None
