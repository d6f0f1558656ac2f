"""The four scenarios of the seed's cost table, on any of the GPUs."""

from __future__ import annotations

from typing import Any, NamedTuple

from story_studio.story.schema import Story, parse

from .estimate import Figures, Quote, quotes

_CHUNK_SECONDS = 77 / 16
"""Of voice: what fills a clip's first chunk."""
_SEED = {
    "image_settings": {"width": 832, "height": 480, "steps": 20},
    "video_settings": {"resolution": "480p", "sample_steps": 20},
}
_OWN_STEPS = {"image_settings": {"width": 832, "height": 480}, "video_settings": {"resolution": "480p"}}


class Scenario(NamedTuple):
    """One row of the table."""

    name: str
    quote: Quote


def scenarios(figures: Figures, price: float, profile: str | None) -> list[Scenario]:
    """A video cold and warm, ten scenes in one job, and ten videos on as many cold workers.

    Args:
        figures: of the profile, or of `standard`.
        price: USD an hour of one worker.
        profile: renders with its own steps; None for the seed's 20 for both phases.
    """
    video, batch, videos = (_story(profile, *what) for what in ((1, True), (10, False), (10, True)))
    return [
        Scenario("single video (cold)", _quote(video, figures, price, 1, cold=True)),
        Scenario("single video (warm)", _quote(video, figures, price, 1, cold=False)),
        Scenario("10-scene project (batch)", _quote(batch, figures, price, 1, cold=False)),
        Scenario("10 videos (cold starts)", _quote(videos, figures, price, 10, cold=True)),
    ]


def saving(found: list[Scenario]) -> float:
    """The share of the cost of ten cold videos that one job of ten scenes saves."""
    batch, cold = (scenario.quote.cost for scenario in found[-2:])
    return 1 - batch / cold


def _story(profile: str | None, scenes: int, has_images: bool) -> Story:
    scene: dict[str, Any] = {"prompt": "a scene", "audio": "voice.wav"}
    scene |= {"image": "image.png"} if has_images else {}
    entries = [{"id": f"scene_{number}", **scene} for number in range(scenes)]
    settings = {"profile": profile, **_OWN_STEPS} if profile else _SEED
    return parse({"project_id": "scenarios", "film": False, "scenes": entries, **settings})


def _quote(story: Story, figures: Figures, price: float, workers: int, *, cold: bool) -> Quote:
    seconds = {scene.id: _CHUNK_SECONDS for scene in story.scenes}
    offers = quotes(story, seconds, figures, price, workers)
    return next(offer for offer in offers if (offer.workers, offer.cold) == (workers, cold))
