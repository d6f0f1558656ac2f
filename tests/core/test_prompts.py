"""Prompts that are changed and continued: what must not block the server or be lost in silence."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from driver.paths import COMFYUI
from story_studio.story.order import Ordered

# ComfyUI's nodes.py puts a folder with another module of this name first.
sys.path.insert(0, str(COMFYUI))
importlib.import_module("utils.install_util")
continuing = importlib.import_module("story_studio.continuing")
prompts = importlib.import_module("story_studio.core.prompts")
queue = importlib.import_module("story_studio.core.queue")
tasks = importlib.import_module("story_studio.core.tasks")
STILL = {"class_type": "StoryStudio_Still", "inputs": {}}


def test_a_node_that_waits_for_the_server_when_it_is_validated_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def wait(*_: Any) -> tuple[Any, ...]:
        await asyncio.sleep(1)
        return False, None, [], {"1": {"errors": []}}

    monkeypatch.setattr(prompts.execution, "validate_prompt", wait)
    monkeypatch.setattr(prompts, "_VALIDATION_TIMEOUT", 0.05)
    since = time.monotonic()
    assert prompts.refused(Ordered({"1": STILL}, ["1"])) == {}
    assert time.monotonic() - since < 1


def test_work_that_fails_is_logged_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise OSError("the disk is full")

    async def run() -> None:
        instance = SimpleNamespace(loop=asyncio.get_running_loop())
        monkeypatch.setattr(tasks.PromptServer, "instance", instance, raising=False)
        tasks.soon(fail, "do this.")
        await asyncio.sleep(0.05)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "do this. (the disk is full)" in caplog.text


@pytest.mark.parametrize("accepted", [True, False])
def test_the_rest_is_remembered_before_it_is_queued(monkeypatch: pytest.MonkeyPatch, accepted: bool) -> None:
    remembered = []

    async def end_of(_: str) -> Any:
        return queue.Ended(item, "error", {"node_id": "1", "exception_message": "no"}, {}, 0)

    async def queue_again(*_: Any) -> bool:
        remembered.extend(continuing._runs)
        return accepted

    nodes = {"1": STILL, "2": STILL}
    item = queue.Item("first", nodes, {}, ["1", "2"], (0,))
    monkeypatch.setattr(continuing.queue, "end_of", end_of)
    monkeypatch.setattr(continuing.queue, "queue_again", queue_again)
    monkeypatch.setattr(continuing.result_store, "finished", lambda _: set())
    monkeypatch.setattr(continuing, "_runs", type(continuing._runs)())
    run = continuing._Run(prompts.Request(nodes, ["1", "2"], {}, "queued", True))
    asyncio.run(continuing._continue(item, run))
    assert len(remembered) == 1 and "queued" not in remembered
    assert list(continuing._runs) == (remembered if accepted else [])
    assert ("followed_by" in item.extra_data.get(continuing.ABOUT, {})) is accepted


def test_what_a_prompt_wants_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_nodes = []

    def topological(nodes: Any, targets: Any) -> Any:
        sorted_nodes.append(nodes)
        return list(targets)

    monkeypatch.setattr(continuing, "topological", topological)
    items = [queue.Item(str(number), {"1": STILL, "2": STILL}, {}, ["1"], ()) for number in range(50)]
    for _ in range(3):
        assert [continuing.wanted(item) for item in items] == [["1"]] * 50
    assert len(sorted_nodes) == 50
    for number in range(200):
        continuing.wanted(items[0]._replace(id=f"later {number}"))
    assert len(continuing._wanted) == continuing._KEPT
