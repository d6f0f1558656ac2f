"""Equal requests that are made at the same time share one load."""

from __future__ import annotations

import asyncio
import gc
import weakref
from threading import Event

import pytest

from story_studio.shared_loader import SharedLoader


class Model:
    """Something that can be weakly referenced."""


class SlowLoader:
    """Blocks until it may finish, and records its calls; arguments with `broken` in them fail."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str | float, ...]] = []
        self.started, self.may_finish = Event(), Event()

    def load(self, *arguments: str | float) -> Model:
        self.loaded.append(arguments)
        self.started.set()
        assert self.may_finish.wait(60)
        if "broken" in arguments:
            raise ValueError("not a model")
        return Model()


@pytest.fixture
def slow() -> SlowLoader:
    return SlowLoader()


@pytest.fixture
def loader(slow: SlowLoader) -> SharedLoader[Model]:
    return SharedLoader(slow.load, "test")


async def start(loader: SharedLoader[Model], *calls: tuple[str | float, ...]) -> list[asyncio.Task[Model]]:
    """Starts calls that wait."""
    tasks = [asyncio.create_task(loader(*call)) for call in calls]
    await asyncio.sleep(0)
    return tasks


def test_equal_calls_share_a_run_and_others_do_not(slow: SlowLoader, loader: SharedLoader[Model]) -> None:
    async def prompt() -> list[Model]:
        tasks = await start(loader, ("a", 1.0), ("a", 1.0), ("a", 2.0))
        slow.may_finish.set()
        return await asyncio.gather(*tasks)

    one, same, other = asyncio.run(prompt())
    assert one is same and one is not other
    assert sorted(slow.loaded) == [("a", 1.0), ("a", 2.0)]


def test_a_finished_result_is_neither_reused_nor_kept_alive(
    slow: SlowLoader, loader: SharedLoader[Model]
) -> None:
    slow.may_finish.set()
    first = weakref.ref(asyncio.run(loader("a")))
    gc.collect()
    assert first() is None
    asyncio.run(loader("a"))
    assert len(slow.loaded) == 2


def test_all_waiting_calls_get_the_error_and_the_next_call_retries(
    slow: SlowLoader, loader: SharedLoader[Model]
) -> None:
    async def prompt() -> list[Model | BaseException]:
        # Both calls must be waiting before the load may fail, also the second time.
        slow.may_finish.clear()
        tasks = await start(loader, ("broken",), ("broken",))
        slow.may_finish.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for _ in range(2):
        assert [str(error) for error in asyncio.run(prompt())] == ["not a model"] * 2
    assert len(slow.loaded) == 2


def test_a_cancelled_call_does_not_cancel_the_others(slow: SlowLoader, loader: SharedLoader[Model]) -> None:
    async def prompt() -> list[Model | BaseException]:
        tasks = await start(loader, ("a",), ("a",), ("a",))
        tasks[0].cancel()
        await asyncio.sleep(0)
        slow.may_finish.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    cancelled, one, other = asyncio.run(prompt())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert isinstance(one, Model) and one is other
    assert len(slow.loaded) == 1


def test_the_prompt_after_an_interrupted_one_waits_for_the_same_run(
    slow: SlowLoader, loader: SharedLoader[Model], caplog: pytest.LogCaptureFixture
) -> None:
    async def interrupted() -> None:
        await start(loader, ("a",))
        # Blocks the loop as sampling does. Then the prompt ends, and its loop cancels the task.
        assert slow.started.wait(60)

    async def next_prompt() -> Model:
        (task,) = await start(loader, ("a",))
        slow.may_finish.set()
        return await task

    asyncio.run(interrupted())
    assert isinstance(asyncio.run(next_prompt()), Model)
    assert len(slow.loaded) == 1
    assert caplog.records == []
