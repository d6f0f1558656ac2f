"""The results of a job, fetched from where its response says they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from pydantic import ValidationError

from story_studio.story.results import MANIFEST, Kind, sheet_file
from story_studio.story.schema import Story

from ..fetch.data_uri import decode, is_data_uri
from ..files import sha256_of, written_aside
from ..rendering.cut import read_cut
from ..rendering.manifest import CheckResult, Manifest, SceneEntry, Take, VideoResult, read_manifest
from ..rendering.progress import OnProgress, Status
from ..rendering.subtitles import write_subtitles
from ..worker.answers import BatchAnswer, SceneAnswer, TakeAnswer
from . import transport
from .client import EndpointError


def fetch_results(
    response: Any, story: Story, folder: Path, on_progress: OnProgress, local: bool = False
) -> Manifest:
    """Fetches every result of a story that a response names into `folder`, the manifest last.

    Args:
        response: the output of the story's job.
        story: what was rendered.
        folder: of the story; made if need be.
        on_progress: called with each file.
        local: whether the endpoint is on this machine, so that its results may be files here.

    Returns:
        What the response says, as a manifest. The one that was fetched may be another job's of the project.

    Raises:
        EndpointError: the response is not one of Story Studio, or a result cannot be fetched.
    """
    try:
        batch = BatchAnswer.model_validate(response)
    except ValidationError:
        what = "The endpoint's response is not one of Story Studio: check that it runs its image."
        raise EndpointError(what) from None
    files: list[tuple[str, str, str | None]] = []
    scenes = {scene.id for scene in story.scenes}
    for scene in batch.scenes:
        if scene.id in scenes and scene.image_url:
            files.append((Kind.STILL.project_file(scene.id), scene.image_url, scene.image_sha256))
        if scene.id in scenes and scene.video_url:
            files.append((Kind.CLIP.project_file(scene.id), scene.video_url, scene.video_sha256))
        if scene.id in scenes and scene.voice_url:
            files.append((Kind.VOICE.project_file(scene.id), scene.voice_url, scene.voice_sha256))
        if scene.id in scenes and (check := scene.check) and (sheet := check.sheet_url):
            files.append((Kind.CHECK.project_file(scene.id), sheet, check.sheet_sha256))
    for key, character in batch.characters.items():
        if key in story.characters:
            files.append((sheet_file(key), character.sheet_url, character.sheet_sha256))
    if batch.film_url:
        files.append((Kind.FILM.project_file(), batch.film_url, batch.film_sha256))
    if batch.storyboard_url:
        files.append((Kind.SHEET.project_file(), batch.storyboard_url, batch.storyboard_sha256))
    files.append((MANIFEST, batch.manifest_url, None))
    folder.mkdir(parents=True, exist_ok=True)
    with transport.session() as session:
        for number, (name, url, sha256) in enumerate(files):
            on_progress(Status("results", name, number, len(files), 0.0, None, 100.0, None))
            if not (local and _copy_file(url, folder / name, sha256)):
                fetch_file(session, url, folder / name, sha256)
        on_progress(Status("results", "", len(files), len(files), 0.0, None, 100.0, None))
    for scene in batch.scenes:
        if scene.id in scenes and scene.video_url and not (scene.check and scene.check.sheet_url):
            # One that is there is of an earlier clip.
            (folder / Kind.CHECK.project_file(scene.id)).unlink(missing_ok=True)
    if batch.film_url and (cut := read_cut(folder / Kind.FILM.project_file())):
        write_subtitles(cut.captions, folder)
    fetched = read_manifest(folder) or Manifest()
    return _manifest_of(batch, fetched, batch.project_id or story.project_id)


def _manifest_of(batch: BatchAnswer, fetched: Manifest, project_id: str) -> Manifest:
    clips = {scene.clip.sha256: scene.clip for scene in fetched.scenes if scene.clip}
    scenes = []
    for scene in batch.scenes:
        clip = None
        if scene.video_url:
            file, sha256 = Kind.CLIP.project_file(scene.id), scene.video_sha256 or ""
            clip = clips.get(sha256) or VideoResult(file=file, sha256=sha256)
        entry = SceneEntry(id=scene.id, seed=scene.seed, clip=clip, error=scene.error)
        made = fetched.scene(scene.id)
        is_of_this_job = made and made.clip and made.clip.sha256 == scene.video_sha256
        checked = _checked(scene, made if made and is_of_this_job else entry)
        scenes.append(entry.model_copy(update=checked))
    film = VideoResult(file=Kind.FILM.project_file(), sha256=batch.film_sha256 or "")
    return Manifest(
        project_id=project_id,
        status=batch.status,
        film=film if batch.film_url else None,
        scenes=scenes,
        warnings=batch.warnings,
        seconds={**batch.seconds, "total": batch.total_time},
        model_loads=batch.model_loads,
    )


def _checked(scene: SceneAnswer, made: SceneEntry) -> dict[str, Any]:
    """How the clip of a scene did, as the manifest has it; `made` says what the response does not."""
    fields: dict[str, Any] = {}
    if check := scene.check:
        fields["check"] = CheckResult(
            file=Kind.CHECK.project_file(scene.id) if check.sheet_url else "",
            sha256=check.sheet_sha256 or "",
            verdict=check.verdict,
            findings=check.findings,
            figures=check.figures,
            key=made.check.key if made.check else "",
            reused=made.check.reused if made.check else False,
        )
    if scene.takes:
        seeds = [take.seed for take in scene.takes]
        same = seeds == [take.seed for take in made.takes]
        fields["takes"] = made.takes if same else [_take(take, made) for take in scene.takes]
    return fields


def _take(take: TakeAnswer, scene: SceneEntry) -> Take:
    key = scene.clip.key if take.kept and scene.clip else ""
    return Take(key=key, seed=take.seed, verdict=take.verdict, reasons=take.reasons)


def fetch_file(session: requests.Session, url: str, target: Path, sha256: str | None) -> None:
    """Fetches one result, unless `target` is that file already.

    Args:
        session: one of `transport.session`.
        url: its address, whose query may be a signature, and is in no message; or a data URI.
        target: replaced once the file is complete.
        sha256: the file's, if the job says so.

    Raises:
        EndpointError: it cannot be downloaded, or is not the file that the job made.
        OSError: `target` cannot be written.
    """
    if is_data_uri(url):
        _save_data(url, target, sha256)
        return
    if not url.startswith(("http://", "https://")):
        raise EndpointError(
            "The results are files on the worker, which cannot be read from outside: set the endpoint's "
            "BUCKET_ variables, and run the same command again."
        )
    if sha256 and target.is_file() and sha256_of(target) == sha256:
        return

    def download() -> str:
        with session.get(url, stream=True, timeout=transport.TIMEOUT) as response:
            if not response.ok:
                return f"HTTP status {response.status_code}"
            _save(response, target, sha256)
            return ""

    try:
        reason = transport.repeat_broken(download, _Damaged)
    except _Damaged as error:
        reason = str(error)
    except requests.RequestException:
        reason = "the server cannot be reached"
    if reason:
        raise EndpointError(
            f"{target.name} cannot be fetched: {reason}. Run the same command again to fetch what is missing."
        )


def _copy_file(url: str, target: Path, sha256: str | None) -> bool:
    """Copies one result of a worker on this machine; whether `url` is that. Raises as `fetch_file`."""
    source = Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None
    if source is None or not source.is_file():
        return False
    with written_aside(target) as aside:
        shutil.copyfile(source, aside)
        if sha256 not in (None, sha256_of(aside)):
            what = f"{target.name} is not the file that the job made: run the same command again."
            raise EndpointError(what)
    return True


def _save_data(url: str, target: Path, sha256: str | None) -> None:
    """What an endpoint without a bucket sends in its response."""
    with written_aside(target) as aside:
        try:
            aside.write_bytes(decode(url)[1])
        except ValueError as error:
            raise EndpointError(f"{target.name} cannot be read: the response {error}") from None
        if sha256 not in (None, sha256_of(aside)):
            raise EndpointError(f"{target.name} is not the file that the job made: run the command again.")


def _save(response: requests.Response, target: Path, sha256: str | None) -> None:
    with written_aside(target) as aside:
        try:
            with aside.open("wb") as file:
                for block in response.iter_content(2**20):
                    file.write(block)
        except requests.RequestException:
            raise _Damaged("the connection broke") from None
        if sha256 not in (None, sha256_of(aside)):
            raise _Damaged("it is not the file that the job made")


class _Damaged(Exception):
    """A file did not arrive as it was made; the message says how."""
