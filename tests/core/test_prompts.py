"""Prompts that are changed and continued: what must not block the server or be lost in silence."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from driver.paths import COMFYUI
from story_studio.story.order import Ordered

# ComfyUI's nodes.py puts a folder with another module of this name first.
sys.path.insert(0, str(COMFYUI))
importlib.import_module("utils.install_util")
continuing = importlib.import_module("story_studio.runs.continuing")
prompts = importlib.import_module("story_studio.core.prompts")
queue = importlib.import_module("story_studio.core.queue")
tasks = importlib.import_module("story_studio.core.tasks")
STILL = {"class_type": "StoryStudio_Still", "inputs": {}}
Register = Callable[[str, Callable[[], Any]], None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Gives ComfyUI an output node of this name, which calls a function when ComfyUI validates it."""

    def add(name: str, validate: Callable[[], Any]) -> None:
        class Node:
            RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "run", True

            @classmethod
            def INPUT_TYPES(cls) -> dict[str, Any]:
                return {"required": {"number": ("INT", {})}}

            @classmethod
            async def VALIDATE_INPUTS(cls, number: int) -> bool | str:
                return await asyncio.to_thread(validate)

        monkeypatch.setitem(prompts.nodes.NODE_CLASS_MAPPINGS, name, Node)

    return add


def test_a_node_that_waits_for_the_server_when_it_is_validated_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, register: Register
) -> None:
    answers, ended = threading.Event(), threading.Event()

    def wait() -> str:
        answers.wait(60)
        ended.set()
        return "no"

    register("Waits", wait)
    prompt = Ordered({"1": {"class_type": "Waits", "inputs": {"number": 1}}}, ["1"])
    monkeypatch.setattr(prompts, "_VALIDATION_TIMEOUT", 0.05)
    assert prompts.refused(prompt) == {} and not ended.is_set()
    assert "validating took too long" in caplog.text
    answers.set()
    monkeypatch.undo()
    register("Waits", wait)
    assert list(prompts.refused(prompt)) == ["1"] and ended.is_set()


def test_work_that_fails_is_logged_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise OSError("the disk is full")

    async def run() -> None:
        instance = SimpleNamespace(loop=asyncio.get_running_loop())
        monkeypatch.setattr(tasks.PromptServer, "instance", instance, raising=False)
        tasks.soon(fail, "do this.")
        await asyncio.sleep(0)
        (work,) = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([work])

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "do this. (the disk is full)" in caplog.text


@pytest.mark.parametrize("accepted", [True, False])
def test_the_rest_is_remembered_before_it_is_queued(
    monkeypatch: pytest.MonkeyPatch, register: Register, accepted: bool
) -> None:
    """With ComfyUI's own queue and validation; the first of two nodes has failed."""
    remembered: list[list[str]] = []

    def validate() -> bool | str:
        remembered.append(list(continuing._runs))
        return accepted or "no"

    register("Look", validate)
    nodes = {name: {"class_type": "Look", "inputs": {"number": 1}} for name in ("1", "2")}
    waiting = queue.execution.PromptQueue(SimpleNamespace(queue_updated=lambda: None))
    monkeypatch.setattr(queue.PromptServer, "instance", SimpleNamespace(prompt_queue=waiting), raising=False)
    waiting.put((0, "first", nodes, {}, ["1", "2"]))
    _, number = waiting.get()
    item = queue.running()
    failure = ("execution_error", {"node_id": "1", "exception_message": "no"})
    waiting.task_done(number, {}, waiting.ExecutionStatus("error", False, [failure]))
    continuing._runs.clear()
    run = continuing._Run(prompts.Request(nodes, ["1", "2"], {}, "queued", True))
    asyncio.run(continuing._continue(item, run))
    ((rest,),) = remembered
    assert rest != "queued"
    assert list(continuing._runs) == ([rest] if accepted else [])
    assert [after.targets for after in queue.waiting()] == ([["2"]] if accepted else [])
    (ended,) = queue.ended(1)
    about = ended.item.extra_data.get(continuing.ABOUT, {})
    assert about == ({"followed_by": queue.waiting()[0].id} if accepted else {})
    continuing._runs.clear()


def test_what_a_prompt_wants_is_found_once() -> None:
    items = [queue.Item(str(number), {"1": STILL, "2": STILL}, {}, ["1"], ()) for number in range(50)]
    found = [continuing.wanted(item) for item in items]
    assert found == [["1"]] * 50
    for _ in range(2):
        # The same lists, not equal ones.
        assert all(continuing.wanted(item) is first for item, first in zip(items, found, strict=True))
    for number in range(200):
        continuing.wanted(items[0]._replace(id=f"later {number}"))
    assert len(continuing._wanted) == continuing._KEPT
