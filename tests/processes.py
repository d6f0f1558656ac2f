"""A run of all tests takes several processes, each with a server and models of its own."""

from __future__ import annotations

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

MOST = 4
"""Each process takes up to 4 GB, with PyTorch, a server and a browser."""
WEB, STORAGE = "tests/web/", "tests/storage/"
WEB_MIDDLE = f"{WEB}test_g"
"""Where the files of that room are parted."""
LONGEST_FIRST = (
    WEB,
    "tests/rendering/test_recovery.py",
    "tests/worker/test_handler.py",
    "tests/endpoint/test_local.py",
    "tests/runpod/test_submit.py",
    STORAGE,
    "tests/nodes/test_talking_video.py",
    "tests/install/test_comfyui.py",
    "tests/worker/test_jobs.py",
    "tests/cli/test_cli.py",
    "tests/test_readme.py",
    "tests/comfy/test_proxy.py",
    "tests/comfy/test_client.py",
    "tests/s2v/",
)
"""Begun last, one of these would keep one process busy while the others have nothing left to do."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores, because tests also wait; a part of the tests is quicker in one."""
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return 0
    return min((os.cpu_count() or 1) + 1, MOST)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Replaces xdist's scheduler."""
    # Otherwise files with many tests would come first, and those are quick ones.
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first."""

    def place(item: pytest.Item) -> int:
        starts = (number for number, name in enumerate(LONGEST_FIRST) if item.nodeid.startswith(name))
        return next(starts, len(LONGEST_FIRST))

    items.sort(key=place)


class FileScheduling(LoadFileScheduling):
    """Gives a process one file after the other, or all that share a slow fixture: a room, or half of one that
    would keep one process busy to the end."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(WEB):
            return f"{WEB}{nodeid < WEB_MIDDLE}"
        return STORAGE if nodeid.startswith(STORAGE) else super()._split_scope(nodeid)
