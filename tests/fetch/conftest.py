"""Web servers on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from driver.fetch.guard import ALLOW_PRIVATE
from tests.fetch.tools import Site, site


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
