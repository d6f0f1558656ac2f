"""Results from a web server that fails in various ways."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.runpod import transport
from driver.runpod.client import EndpointError
from driver.runpod.results import fetch_file, fetch_results
from story_studio.story.schema import parse
from tests.fetch.tools import Reader, Site, site

FILM = b"a film"
SHA256 = hashlib.sha256(FILM).hexdigest()
SIGNATURE = "hidden-from-all"
Fetch = Callable[..., None]


@pytest.fixture
def server() -> Iterator[Site]:
    with site() as running:
        running.pages["/film.mp4"] = lambda reader: reader.answer(body=FILM)
        yield running


@pytest.fixture
def fetch_film(server: Site, tmp_path: Path) -> Fetch:
    """Fetches a page of the server as `out/film.mp4`."""

    def fetch_film(page: str = "/film.mp4", sha256: str | None = SHA256) -> None:
        with transport.session() as session:
            url = f"{server.url}{page}?signature={SIGNATURE}"
            fetch_file(session, url, tmp_path / "out" / "film.mp4", sha256)

    return fetch_film


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_file_is_fetched(fetch_film: Fetch, tmp_path: Path, sha256: str | None) -> None:
    fetch_film(sha256=sha256)
    assert files_in(tmp_path) == {"film.mp4": FILM}


def test_an_existing_file_is_not_fetched_again(server: Site, fetch_film: Fetch) -> None:
    fetch_film()
    fetch_film()
    assert len(server.asked) == 1


def once_broken(break_: Callable[[Reader], None]) -> Callable[[Reader], None]:
    def page(reader: Reader) -> None:
        if len(reader.server.asked) == 1:
            break_(reader)
        else:
            reader.answer(body=FILM)

    return page


@pytest.mark.parametrize(
    "break_",
    [
        lambda reader: None,
        lambda reader: reader.answer(503),
        lambda reader: reader.answer(500),
        lambda reader: reader.answer(429, Retry_After="0"),
        lambda reader: reader.answer(body=FILM[:3], Content_Length=str(len(FILM))),
        lambda reader: reader.answer(body=b"a page in its place"),
    ],
    ids=["no response", "503", "500", "429", "half", "another"],
)
def test_a_failure_is_retried(
    server: Site, fetch_film: Fetch, tmp_path: Path, break_: Callable[[Reader], None]
) -> None:
    server.pages["/film.mp4"] = once_broken(break_)
    fetch_film()
    assert files_in(tmp_path) == {"film.mp4": FILM}
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("/gone", "HTTP status 404"),
        ("/down", "HTTP status 503"),
        ("/silent", "the server cannot be reached"),
        ("/half", "the connection broke"),
        ("/another", "it is not the file that the job made"),
    ],
)
def test_a_failed_fetch_is_reported_without_the_signature(
    server: Site,
    fetch_film: Fetch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    page: str,
    reason: str,
) -> None:
    fetch_film()
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(transport, "RETRY", transport.RETRY.new(total=1))
    server.pages |= {
        "/down": lambda reader: reader.answer(503),
        "/silent": lambda reader: None,
        "/half": lambda reader: reader.answer(body=FILM[:3], Content_Length=str(len(FILM))),
        "/another": lambda reader: reader.answer(body=b"a page in its place"),
    }
    with pytest.raises(EndpointError) as caught:
        fetch_film(page, "0" * 64)
    assert f"film.mp4 cannot be fetched: {reason}. Run the same command again" in str(caught.value)
    assert SIGNATURE not in f"{caught.value!r}{caught.value.__context__!r}{caplog.text}"
    # The earlier file stays.
    assert files_in(tmp_path) == {"film.mp4": FILM}


def test_results_on_the_worker_s_own_disk_are_explained(tmp_path: Path) -> None:
    with (
        transport.session() as session,
        pytest.raises(EndpointError, match="set the endpoint's BUCKET_ variables"),
    ):
        fetch_file(session, (tmp_path / "film.mp4").as_uri(), tmp_path / "out" / "film.mp4", SHA256)


@pytest.mark.parametrize(
    "body", [b'{"status": "complete", "scenes": [{"id": "a"}]}', b"nothing that can be read"]
)
def test_the_response_says_how_the_job_ended_whatever_manifest_is_there(
    server: Site, tmp_path: Path, body: bytes
) -> None:
    """Jobs of one project write to one manifest."""
    server.pages["/manifest.json"] = lambda reader: reader.answer(body=body)
    scenes = [{"id": "a", "prompt": "x", "audio": "a.wav"}, {"id": "b", "prompt": "y", "audio": "b.wav"}]
    story = parse({"project_id": "tale", "scenes": scenes})
    times = dict.fromkeys(("total_time", "images_time", "videos_time", "generation_time"), 2.0)
    response = {
        "project_id": "tale",
        "status": "partial",
        "scenes": [{"id": "a", "seed": 1}, {"id": "b", "seed": 2, "error": "the lamp went out"}],
        "manifest_url": f"{server.url}/manifest.json",
        "warnings": ["a warning"],
        "seconds": {"total": 2.0},
        "model_loads": {},
        **times,
    }
    shown: list[str] = []
    manifest = fetch_results(response, story, tmp_path, lambda status: shown.append(status.phase))
    assert (manifest.status, manifest.warnings) == ("partial", ["a warning"])
    assert [scene.error for scene in manifest.scenes] == [None, "the lamp went out"]
    assert set(shown) == {"results"}
    assert (tmp_path / "manifest.json").read_bytes() == body
