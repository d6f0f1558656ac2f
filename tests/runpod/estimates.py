"""Estimates of the specification's stories."""

from __future__ import annotations

from typing import Any

from driver.rendering.manifest import Manifest
from driver.runpod import estimate
from story_studio.story.schema import Story, parse

A100, PRICE = "A100 80GB", 1.89


CHUNK = 77 / 16
"""Seconds of voice that fill a clip's first chunk: the assumed length of the specification's video."""


LOADED = {"wan2.2_s2v_14B_fp8_scaled.safetensors": 1}


def specified_story(scenes: int = 10, *, images: bool = False, **more: Any) -> Story:
    """The specification's batch with this many scenes; with `images`, its request for a video."""
    entries = [
        {"scene": number, "prompt": "A hero", "audio_url": "a.mp3"} | ({"image": "a.png"} if images else {})
        for number in range(1, scenes + 1)
    ]
    settings = {
        "image_settings": {"width": 832, "height": 480, "steps": 20},
        "video_settings": {"resolution": "480p", "sample_steps": 20},
    }
    return parse(
        {"input": {"task": "batch", "project_id": "story_123", "scenes": entries, **settings, **more}}
    )


def quote(
    story: Story, workers: int, *, cold: bool, voice: float = CHUNK, figures: estimate.Figures | None = None
) -> estimate.Quote:
    seconds = {scene.id: voice for scene in story.scenes}
    figures = figures or estimate.figures_for(story.profile, A100, [])
    options = estimate.quotes(story, seconds, figures, PRICE, workers)
    return next(option for option in options if (option.workers, option.cold) == (workers, cold))


def figures_from(*manifests: dict[str, Any]) -> estimate.Figures:
    """The standard profile's figures, measured from these manifests."""
    return estimate.figures_for("standard", A100, map(Manifest.model_validate, manifests))


def manifest_of(
    story: Story, seconds: dict[str, float], loads: dict[str, int], **more: Any
) -> dict[str, Any]:
    """A manifest of this story as a render writes it, each clip one chunk long."""
    film = {"file": "film.mp4", "reused": False, "seconds": CHUNK * len(story.scenes)}
    scenes = [
        {
            "id": scene.id,
            "still": {"file": f"{scene.id}_img.png", "reused": False},
            "clip": {"file": f"{scene.id}_video.mp4", "reused": False, "seconds": round(CHUNK, 3)},
            "settings": {
                "still": {"steps": 20, "width": 832, "height": 480},
                "clip": {"steps": 20, "cfg": 4.5, "width": 832, "height": 480},
            },
            "seconds": 33.0,
        }
        for scene in story.scenes
    ]
    common = {"status": "complete", "profile": story.profile, "film": film, "scenes": scenes}
    return {**common, "seconds": seconds, "model_loads": loads, **more}
