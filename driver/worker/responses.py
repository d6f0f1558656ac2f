"""What the endpoint answers: from a render's manifest to the response model of each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from story_studio.story.results import MANIFEST

from ..rendering.manifest import Manifest, Result, SceneEntry
from ..rendering.progress import STAGES, Status
from .schema import (
    BatchAnswer,
    Failure,
    ImageAnswer,
    ImageJob,
    ResultCounts,
    SceneAnswer,
    VideoAnswer,
    VideoJob,
)

Response = ImageAnswer | VideoAnswer | BatchAnswer | Failure


def of_image(job: ImageJob, manifest: Manifest, urls: Mapping[str, str]) -> ImageAnswer | Failure:
    """The response to an image job; `urls` are addresses by file names."""
    (scene,) = manifest.scenes
    if scene.still is None:
        return _failure(scene)
    still = scene.still
    return ImageAnswer(
        image_url=urls[still.file],
        seed=scene.seed,
        sha256=still.sha256,
        bytes=still.bytes,
        width=job.width,
        height=job.height,
        **_rendered(manifest),
    )


def of_video(job: VideoJob, manifest: Manifest, urls: Mapping[str, str]) -> VideoAnswer | Failure:
    """The response to a video job; `urls` are addresses by file names."""
    (scene,) = manifest.scenes
    if scene.clip is None:
        return _failure(scene)
    clip = scene.clip
    return VideoAnswer(
        video_url=urls[clip.file],
        seed=scene.seed,
        sha256=clip.sha256,
        bytes=clip.bytes,
        width=clip.width,
        height=clip.height,
        duration=clip.seconds,
        resolution=job.resolution,
        **_rendered(manifest),
    )


def of_batch(manifest: Manifest, urls: Mapping[str, str]) -> BatchAnswer:
    """The response to a batch; it has an error if not one scene was finished."""
    response = BatchAnswer(
        project_id=manifest.project_id,
        status=manifest.status,
        scenes=[_of_scene(scene, urls) for scene in manifest.scenes],
        manifest_url=urls[MANIFEST],
        total_time=manifest.seconds["total"],
        images_time=manifest.seconds["stills"],
        videos_time=manifest.seconds["clips"],
        **_rendered(manifest),
    )
    if film := manifest.film:
        response.film_url, response.film_sha256 = urls[film.file], film.sha256
    if sheet := manifest.storyboard:
        response.storyboard_url, response.storyboard_sha256 = urls[sheet.file], sheet.sha256
    if manifest.status == "failed":
        reasons = "; ".join(f"{scene.id}: {scene.error}" for scene in manifest.scenes if scene.error)
        response.error = f"No scene was finished. {reasons}"
    return response


def progress(status: Status) -> dict[str, Any]:
    """What a client sees of a job while it runs: phase, scene, how much is done, seconds that are left."""
    left = status.seconds_left
    return {
        "phase": STAGES[status.phase],
        "scene": status.scene,
        "done": status.done,
        "total": status.total,
        "percent": round(status.percent, 1),
        "seconds_left": None if left is None else round(left),
    }


def _of_scene(scene: SceneEntry, urls: Mapping[str, str]) -> SceneAnswer:
    response = SceneAnswer(id=scene.id, seed=scene.seed)
    if still := scene.still:
        response.image_url, response.image_sha256 = urls[still.file], still.sha256
    if clip := scene.clip:
        response.video_url, response.video_sha256 = urls[clip.file], clip.sha256
        response.duration, response.width, response.height = clip.seconds, clip.width, clip.height
    if scene.error is not None:
        response.error = scene.error
    return response


def _failure(scene: SceneEntry) -> Failure:
    return Failure(error=scene.error or "It was not finished: try the job again.", generation_time=0.0)


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
