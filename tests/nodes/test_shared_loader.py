"""One reading for all who ask for the same thing at the same time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from threading import Event

import pytest

from story_studio.shared_loader import SharedLoader


class Model:
    """Something that can be seen to be let go."""


class Disk:
    """Reads when it is let, and remembers what it read; a choice with `broken` in it fails."""

    def __init__(self) -> None:
        self.read_choices: list[tuple[str | float, ...]] = []
        self.begun, self.may_end = Event(), Event()

    def read(self, *choice: str | float) -> Model:
        self.read_choices.append(choice)
        self.begun.set()
        assert self.may_end.wait(60)
        if "broken" in choice:
            raise ValueError("not a model")
        return Model()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def reader(disk: Disk) -> SharedLoader[Model]:
    return SharedLoader(disk.read, "test")


async def start(reader: SharedLoader[Model], *choices: tuple[str | float, ...]) -> list[asyncio.Task[Model]]:
    """Calls that wait."""
    tasks = [asyncio.create_task(reader(*choice)) for choice in choices]
    await asyncio.sleep(0)
    return tasks


def test_equal_calls_share_a_run_and_others_do_not(disk: Disk, reader: SharedLoader[Model]) -> None:
    async def prompt() -> list[Model]:
        tasks = await start(reader, ("a", 1.0), ("a", 1.0), ("a", 2.0))
        disk.may_end.set()
        return await asyncio.gather(*tasks)

    one, same, other = asyncio.run(prompt())
    assert one is same and one is not other
    assert sorted(disk.read_choices) == [("a", 1.0), ("a", 2.0)]


def test_what_has_ended_is_read_again_and_not_kept_alive(disk: Disk, reader: SharedLoader[Model]) -> None:
    disk.may_end.set()
    first = weakref.ref(asyncio.run(reader("a")))
    gc.collect()
    assert first() is None
    asyncio.run(reader("a"))
    assert len(disk.read_choices) == 2


def test_each_who_waits_gets_the_error_and_the_next_one_tries_again(
    disk: Disk, reader: SharedLoader[Model]
) -> None:
    async def prompt() -> list[Model | BaseException]:
        tasks = await start(reader, ("broken",), ("broken",))
        disk.may_end.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for _ in range(2):
        assert [str(error) for error in asyncio.run(prompt())] == ["not a model"] * 2
    assert len(disk.read_choices) == 2


def test_who_is_cancelled_leaves_the_others_their_run(disk: Disk, reader: SharedLoader[Model]) -> None:
    async def prompt() -> list[Model | BaseException]:
        tasks = await start(reader, ("a",), ("a",), ("a",))
        tasks[0].cancel()
        await asyncio.sleep(0)
        disk.may_end.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    gone, one, other = asyncio.run(prompt())
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(one, Model) and one is other
    assert len(disk.read_choices) == 1


def test_the_prompt_after_an_interrupted_one_waits_for_its_run(
    disk: Disk, reader: SharedLoader[Model], caplog: pytest.LogCaptureFixture
) -> None:
    async def interrupted() -> None:
        await start(reader, ("a",))
        # A blocked loop is what a busy sampler makes of it; the prompt ends, and its loop cancels the task.
        assert disk.begun.wait(60)

    async def next_prompt() -> Model:
        (task,) = await start(reader, ("a",))
        disk.may_end.set()
        return await task

    asyncio.run(interrupted())
    assert isinstance(asyncio.run(next_prompt()), Model)
    assert len(disk.read_choices) == 1
    assert caplog.records == []
