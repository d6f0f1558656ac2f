"""The results of a job, fetched from where its response says they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests
from pydantic import ValidationError

from story_studio.story.results import MANIFEST, Kind
from story_studio.story.schema import Story

from ..files import sha256_of, written_aside
from ..rendering.manifest import Manifest, read_manifest
from ..rendering.progress import OnProgress, Status
from ..worker.schema import BatchAnswer
from .client import EndpointError

_WAITS = (1, 4, 15, 60)
"""Seconds until a file is fetched again that was broken off."""


def fetch_results(response: Any, story: Story, folder: Path, on_progress: OnProgress) -> Manifest:
    """Fetches every result of a story that a response names into `folder`, the manifest last.

    Raises:
        EndpointError: the response is not one of Story Studio, or a result cannot be fetched.
    """
    wrong = "The endpoint's response is not one of Story Studio: check that it runs its image."
    try:
        batch = BatchAnswer.model_validate(response)
    except ValidationError:
        raise EndpointError(wrong) from None
    files: list[tuple[str, str, str | None]] = []
    scenes = {scene.id for scene in story.scenes}
    for scene in batch.scenes:
        if scene.id in scenes and scene.image_url:
            files.append((Kind.STILL.project_file(scene.id), scene.image_url, scene.image_sha256))
        if scene.id in scenes and scene.video_url:
            files.append((Kind.CLIP.project_file(scene.id), scene.video_url, scene.video_sha256))
    if batch.film_url:
        files.append((Kind.FILM.project_file(), batch.film_url, batch.film_sha256))
    if batch.storyboard_url:
        files.append((Kind.SHEET.project_file(), batch.storyboard_url, batch.storyboard_sha256))
    files.append((MANIFEST, batch.manifest_url, None))
    folder.mkdir(parents=True, exist_ok=True)
    with requests.Session() as session:
        for number, (name, url, sha256) in enumerate(files, start=1):
            step = (number, len(files))
            on_progress(Status("film", f"fetching {name}", 1, 1, 1.0, step, 100.0, None))
            _fetch(session, url, folder / name, sha256)
    manifest = read_manifest(folder)
    if manifest is None:
        raise EndpointError(wrong)
    return manifest


def _fetch(session: requests.Session, url: str, target: Path, sha256: str | None) -> None:
    if not url.startswith(("http://", "https://")):
        raise EndpointError(
            "The results are files of the worker, which nobody else can read: set the BUCKET_ variables of "
            "the endpoint, and run the same command again."
        )
    if sha256 and target.is_file() and sha256_of(target) == sha256:
        return
    reason = ""
    for wait in (*_WAITS, None):
        try:
            with (
                written_aside(target) as aside,
                session.get(url, stream=True, timeout=(10, 60)) as response,
                aside.open("wb") as file,
            ):
                response.raise_for_status()
                for block in response.iter_content(2**20):
                    file.write(block)
                file.flush()
                if sha256 not in (None, sha256_of(aside)):
                    raise _Damaged
            return
        except _Damaged:
            reason = "it arrives damaged"
        except requests.RequestException as error:
            # Without the address, which may hold a signature.
            status = error.response.status_code if error.response is not None else 0
            reason = f"HTTP status {status}" if status else "the connection breaks"
            if 400 <= status < 500 and status != 429:
                break
        if wait:
            time.sleep(wait)
    raise EndpointError(
        f"{target.name} cannot be fetched: {reason}. The same command fetches what is missing."
    )


class _Damaged(Exception):
    """What arrived is not what was stored."""
