"""Jobs as stories: an image or video job is a story of one scene, a batch is one already."""

from __future__ import annotations

from pathlib import Path

from story_studio.story.results import Kind
from story_studio.story.schema import ImageSettings, Scene, Story, VideoSettings

from .identity import path_name
from .schema import BatchJob, ImageJob, VideoJob, seed_of

StoryJob = ImageJob | VideoJob | BatchJob


def story_of(job: StoryJob, identity: str) -> Story:
    """The story of a job; `identity` is that of `identity_of`."""
    if isinstance(job, BatchJob):
        return job
    seed = seed_of(job, identity)
    common = {
        "project_id": f"job-{path_name(identity)}"[:64],
        "profile": job.profile,
        "seed": seed,
        "film": None,
    }
    guidance = {"cfg": job.cfg, "negative_prompt": job.negative_prompt}
    if isinstance(job, VideoJob):
        parts = {"audio": job.audio, "image": job.image, "video_prompt": job.prompt}
        scene = Scene.model_validate({"id": "video", "seed": seed, **parts})
        settings = VideoSettings(resolution=job.resolution, sample_steps=job.sample_steps, **guidance)
        return Story(**common, scenes=[scene], video_settings=settings, quality=job.quality)
    settings = ImageSettings(width=job.width, height=job.height, steps=job.steps, **guidance)
    # It has no voice, and maybe no prompt, which a scene of a story needs.
    scene = Scene.model_validate({"id": "image", "prompt": "-", "audio": "-", "seed": seed})
    story = Story(**common, scenes=[scene], image_settings=settings)
    return story.model_copy(update={"scenes": [scene.model_copy(update={"prompt": job.prompt, "audio": ""})]})


def folder_name(job: StoryJob, name: str) -> str:
    """The folder of a job's files below the output folder; `name` is the job's, as in `path_name`."""
    return f"{job.project_id}.{name}" if isinstance(job, BatchJob) else f"job-{name}"


def store_key(job: StoryJob, name: str, path: Path) -> str | None:
    """Where a finished file goes in the store; None for what was not asked for."""
    if isinstance(job, BatchJob):
        # A master is made for the film alone.
        if path.name.endswith(Kind.MASTER.project_file()):
            return None
        return f"StoryStudio/{job.project_id}/{name}/{path.name}"
    if isinstance(job, ImageJob):
        return f"StoryStudio/img_{name}.png" if path.name == "image_img.png" else None
    of = {"video_video.mp4": ".mp4", "video_check.png": "_check.png"}.get(path.name)
    return f"VideoGen/{name}_s2v_{job.resolution}{of}" if of else None
