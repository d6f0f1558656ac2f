"""Jobs as stories: an image or video job is a story of one scene, a batch is one already."""

from __future__ import annotations

import re
from pathlib import Path

from story_studio.story.schema import ImageSettings, Scene, Story, VideoSettings

from .schema import BatchJob, ImageJob, VideoJob, seed_of

StoryJob = ImageJob | VideoJob | BatchJob


def story_of(job: StoryJob, job_id: str) -> Story:
    """The story of a job; `job_id` is RunPod's."""
    if isinstance(job, BatchJob):
        return job
    name = "job-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", job_id)[:59]
    seed = seed_of(job, job_id)
    common = {"project_id": name, "profile": job.profile, "seed": seed, "film": None}
    guidance = {"cfg": job.cfg, "negative_prompt": job.negative_prompt}
    if isinstance(job, VideoJob):
        parts = {"audio": job.audio, "image": job.image, "video_prompt": job.prompt}
        scene = Scene.model_validate({"id": "video", "seed": seed, **parts})
        settings = VideoSettings(resolution=job.resolution, sample_steps=job.sample_steps, **guidance)
        return Story(**common, scenes=[scene], video_settings=settings)
    # It has no voice, which a scene of a story needs.
    scene = Scene.model_construct(id="image", prompt=job.prompt, audio="", seed=seed)
    settings = ImageSettings(width=job.width, height=job.height, steps=job.steps, **guidance)
    return Story(**common, scenes=[scene], image_settings=settings)


def store_key(job: StoryJob, story: Story, path: Path, stamp: str) -> str | None:
    """Where a finished file goes in the store; None for what was not asked for."""
    if isinstance(job, BatchJob):
        return f"StoryStudio/{story.project_id}/{path.name}"
    if isinstance(job, ImageJob):
        return f"StoryStudio/img_{stamp}.png" if path.name == "image_img.png" else None
    return f"VideoGen/{stamp}_s2v_{job.resolution}.mp4" if path.suffix == ".mp4" else None
