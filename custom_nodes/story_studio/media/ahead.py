"""Work that runs in a thread, a few items ahead of whoever needs them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

_T = TypeVar("_T")


@contextmanager
def ahead(items: Iterable[_T], depth: int) -> Iterator[Iterator[_T]]:
    """Computes items in a thread, at most `depth` of them ahead; an error is raised where its item would be.

    The thread has ended when the block has, and has closed what it iterates over.
    """
    queue: Queue[tuple[_T] | BaseException | None] = Queue(depth)
    stopped = Event()

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                queue.put((item,))
                if stopped.is_set():
                    break
            queue.put(None)
        except BaseException as error:
            queue.put(error)
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    thread = Thread(target=work, name="film-frames", daemon=True)
    thread.start()
    try:
        yield _received(queue)
    finally:
        stopped.set()
        while thread.is_alive():
            # What waits to be put makes room for the end.
            try:
                queue.get(timeout=0.05)
            except Empty:
                continue


def _received(queue: Queue[tuple[_T] | BaseException | None]) -> Iterator[_T]:
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item[0]
