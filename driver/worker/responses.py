"""What the endpoint answers: from a render's manifest to the response model of each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from story_studio.story.results import MANIFEST, Kind
from story_studio.story.schema import Scene

from ..rendering.manifest import Manifest, Result, SceneEntry
from ..rendering.progress import STAGES, Status
from ..rendering.settings import UsedSettings
from .answers import (
    BatchAnswer,
    BatchSettings,
    CharacterAnswer,
    CheckAnswer,
    Detail,
    Failure,
    ImageAnswer,
    JobSettings,
    ResultCounts,
    SceneAnswer,
    Settings,
    TakeAnswer,
    VideoAnswer,
    WorkflowAnswer,
)
from .schema import BatchJob, ImageJob, VideoJob
from .uploads import Delivered

Response = ImageAnswer | VideoAnswer | BatchAnswer | Failure
Files = Mapping[str, Delivered]
"""What the client gets, by the files' names."""


def errors_in(response: Response | WorkflowAnswer) -> list[str]:
    """Every error in a response, also those of parts of the job."""
    if isinstance(response, WorkflowAnswer):
        return response.errors or []
    errors = [response.error] if isinstance(response, Failure | BatchAnswer) else []
    errors += [scene.error for scene in response.scenes] if isinstance(response, BatchAnswer) else []
    return [error for error in errors if error]


def of_image(job: ImageJob, manifest: Manifest, used: UsedSettings, files: Files) -> ImageAnswer | Failure:
    """The response to an image job."""
    (scene,) = manifest.scenes
    if scene.still is None:
        return _failure(scene)
    still = files[scene.still.file]
    return ImageAnswer(
        image_url=still.url,
        seed=scene.seed,
        sha256=still.sha256,
        bytes=still.bytes,
        width=job.width,
        height=job.height,
        settings=JobSettings(profile=job.profile, **used.still or {}),
        **_rendered(manifest),
    )


def of_video(job: VideoJob, manifest: Manifest, used: UsedSettings, files: Files) -> VideoAnswer | Failure:
    """The response to a video job."""
    (scene,) = manifest.scenes
    if scene.clip is None:
        return _failure(scene)
    clip, file = scene.clip, files[scene.clip.file]
    return VideoAnswer(
        video_url=file.url,
        seed=scene.seed,
        sha256=file.sha256,
        bytes=file.bytes,
        width=clip.width,
        height=clip.height,
        duration=clip.seconds,
        resolution=job.resolution,
        settings=JobSettings(profile=job.profile, **used.clip or {}),
        **_checked(scene, files),
        **_rendered(manifest),
    )


def of_batch(job: BatchJob, manifest: Manifest, used: UsedSettings, files: Files) -> BatchAnswer:
    """The response to a batch; it has an error if not one scene was finished."""
    image, video = (Settings(**part) if part is not None else None for part in (used.still, used.clip))
    scenes = {scene.id: scene for scene in job.scenes}
    settings = BatchSettings(profile=job.profile, image=image, video=video)
    if used.narrated:
        settings.narrated = Settings(**used.narrated)
    response = BatchAnswer(
        project_id=job.project_id if "project_id" in job.model_fields_set else None,
        status=manifest.status,
        scenes=[_of_scene(entry, scenes[entry.id], files) for entry in manifest.scenes],
        settings=settings,
        manifest_url=files[MANIFEST].url,
        total_time=manifest.seconds["total"],
        images_time=manifest.seconds["stills"],
        videos_time=manifest.seconds["clips"],
        **_rendered(manifest),
    )
    if characters := _characters(manifest, files):
        response.characters = characters
    if manifest.film and (film := files.get(manifest.film.file)):
        response.film_url, response.film_sha256 = film.url, film.sha256
    response.captions = {name: file.url for name, file in files.items() if name.endswith((".srt", ".vtt"))}
    if manifest.storyboard and (sheet := files.get(manifest.storyboard.file)):
        response.storyboard_url, response.storyboard_sha256 = sheet.url, sheet.sha256
    if manifest.status == "failed":
        response.details = [
            Detail(where=scene.id, what=scene.error) for scene in manifest.scenes if scene.error
        ]
        reasons = "; ".join(f"{scene.id}: {scene.error}" for scene in manifest.scenes if scene.error)
        response.error = f"No scene was finished. {reasons}"
    return response


def progress(status: Status) -> dict[str, Any]:
    """What a client sees of a job while it runs: phase, scene, how much is done, seconds that are left.

    `activity` is there while a clip is checked or made again.
    """
    left = status.seconds_left
    activity = {"activity": status.activity} if status.activity else {}
    return {
        "phase": STAGES[status.phase],
        "scene": status.scene,
        "done": status.done,
        "total": status.total,
        "percent": round(status.percent, 1),
        "seconds_left": None if left is None else round(left),
        **activity,
    }


def _of_scene(entry: SceneEntry, scene: Scene, files: Files) -> SceneAnswer:
    response = SceneAnswer(id=entry.id, seed=entry.seed, **_checked(entry, files))
    # Answers to jobs of earlier clients have the fields that these know.
    if scene.dialogue:
        response.of = scene.dialogue
    if scene.kind_of != "talking":
        response.kind = scene.kind_of
    if voice := files.get(Kind.VOICE.project_file(scene.id)):
        response.voice_url, response.voice_sha256 = voice.url, voice.sha256
    if entry.still:
        still = files[entry.still.file]
        response.image_url, response.image_sha256 = still.url, still.sha256
    if clip := entry.clip:
        response.video_url, response.video_sha256 = files[clip.file].url, files[clip.file].sha256
        response.duration, response.width, response.height = clip.seconds, clip.width, clip.height
    if entry.error is not None:
        response.error = entry.error
    return response


def _checked(scene: SceneEntry, files: Files) -> dict[str, Any]:
    """The fields about the check of a scene's clip; none where it was not checked."""
    fields: dict[str, Any] = {}
    if check := scene.check:
        about = CheckAnswer(verdict=check.verdict, findings=check.findings, figures=check.figures)
        if sheet := files.get(check.file):
            about.sheet_url, about.sheet_sha256 = sheet.url, sheet.sha256
        fields["check"] = about
    if scene.takes:
        kept = scene.clip.key if scene.clip else ""
        fields["takes"] = [
            TakeAnswer(seed=take.seed, verdict=take.verdict, reasons=take.reasons, kept=take.key == kept)
            for take in scene.takes
        ]
    return fields


def _characters(manifest: Manifest, files: Files) -> dict[str, CharacterAnswer]:
    answers = {}
    for entry in manifest.characters:
        if entry.sheet and (sheet := files.get(entry.sheet.file)):
            answers[entry.id] = CharacterAnswer(
                sheet_url=sheet.url, sheet_sha256=sheet.sha256, sheet_take=entry.sheet.key
            )
    return answers


def failure(error: str, details: Iterable[tuple[str, str]] = ()) -> Failure:
    """The response to a job that failed; `details` are places and what is wrong there."""
    pairs = list(details) or [("", error)]
    return Failure(
        error=error, details=[Detail(where=where, what=what) for where, what in pairs], generation_time=0.0
    )


def _failure(scene: SceneEntry) -> Failure:
    return failure(scene.error or "It was not finished: try the job again.")


def _rendered(manifest: Manifest) -> dict[str, Any]:
    """The fields that all responses to renders share. How long the job took is not known yet."""
    return {
        "warnings": manifest.warnings,
        "seconds": manifest.seconds,
        "made": _counts(manifest, reused=False),
        "reused": _counts(manifest, reused=True),
        "model_loads": manifest.model_loads,
        "memory": manifest.memory,
        "generation_time": 0.0,
    }


def _counts(manifest: Manifest, reused: bool) -> ResultCounts:
    def count(results: Iterable[Result | None]) -> int:
        return sum(result is not None and result.reused == reused for result in results)

    return ResultCounts(
        stills=count(scene.still for scene in manifest.scenes),
        clips=count(scene.clip for scene in manifest.scenes),
        films=count([manifest.film]),
    )
