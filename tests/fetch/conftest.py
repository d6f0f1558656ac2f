"""Web servers on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from driver.fetch import download
from driver.fetch.guard import ALLOW_PRIVATE
from tests.fetch.tools import Site, site


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once, unless the server asks for a pause."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as running:
        running.pages["/voice.mp3"] = lambda reader: reader.answer(body=b"sound")
        yield running


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_PRIVATE, "1")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_PRIVATE, raising=False)
