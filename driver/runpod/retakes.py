"""How often clips are made again because they fail their check: expected, at most, and within a cap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from story_studio.story.check_graph import is_checked, retakes_of
from story_studio.story.recipes import Profile, load_profile
from story_studio.story.schema import Story

from ..rendering.manifest import Manifest, SceneEntry, Take
from ..rendering.prepare import RenderPlan
from .estimate import Quote, RetakesExpected

ASSUMED_SHARE = 0.1
"""Of clips that fail their check, where no earlier render says it: an assumption, never measured."""
_ENOUGH = 10
"""Checked clips by which a share of them means something."""
_CHECK = 0.15
"""Seconds for the check of a second of a clip of 832x480 at 16 fps, on two cores: 0.14 measured."""
_PIXELS = 832 * 480


class Share(NamedTuple):
    """The share of clips that fail where another seed may help; and of how many, 0 if it is assumed."""

    value: float
    clips: int


class Expected(NamedTuple):
    """What checks and retakes add to a story.

    Attributes:
        checked: how many clips are checked.
        seconds: of a worker, for one check of each.
        retakes: how many clips are expected to be made again, each time counted.
        most: how many may be.
    """

    checked: int
    seconds: float
    retakes: float
    most: int


def share_of_failing(manifests: Iterable[Manifest]) -> Share:
    """The share of failing clips in earlier renders; ASSUMED_SHARE if they have checked fewer than ten."""
    clips = failing = 0
    for scene in (scene for manifest in manifests for scene in manifest.scenes):
        made, failed = _counted(scene)
        clips, failing = clips + made, failing + failed
    return Share(failing / clips, clips) if clips >= _ENOUGH else Share(ASSUMED_SHARE, 0)


def _counted(scene: SceneEntry) -> tuple[int, int]:
    """How many clips of a scene were checked, and how many of them another seed may help."""
    if scene.takes:
        return len(scene.takes), sum(map(_is_to_be_made_again, scene.takes))
    check = scene.check
    return bool(check), bool(check) and any(finding.retake for finding in check.findings)


def _is_to_be_made_again(take: Take) -> bool:
    return take.verdict == "fail" if take.needs_retake is None else take.needs_retake


def expected_with(share: float) -> RetakesExpected:
    """How often a clip is made again on average, by how often it may be, where so many fail each time."""
    return lambda most: sum(share**number for number in range(1, most + 1))


def expected(
    story: Story, seconds: Mapping[str, float], share: float, profile: Profile | None = None
) -> Expected:
    """What checks and retakes add to a story; arguments as of `estimate.quotes`."""
    plan = RenderPlan.of(story, profile or load_profile(story.profile), {})
    checked = [scene for scene in story.scenes if is_checked(plan, scene)]
    most = [retakes_of(plan, scene) for scene in checked]
    width, height = story.frame_size
    length = sum(seconds[scene.id] for scene in checked)
    return Expected(
        len(checked),
        _CHECK * length * width * height / _PIXELS,
        sum(map(expected_with(share), most)),
        sum(most),
    )


def with_retakes(story: Story, retakes: int) -> Story:
    """The story with at most so many retakes of each clip."""
    quality = story.quality.model_copy(update={"retakes": retakes})
    return story.model_copy(update={"quality": quality})


def within_cap(story: Story, max_cost: float | None, worst: Callable[[Story], Sequence[Quote]]) -> Story:
    """The story with as many of its retakes as `max_cost` USD pay for if all of them are made; 0 at least.

    Args:
        story: as it was written.
        max_cost: None for no cap.
        worst: the quotes for a story of which all retakes are made.
    """
    if max_cost is None:
        return story
    for retakes in range(story.quality.retakes, 0, -1):
        fewer = with_retakes(story, retakes)
        if any(quote.cost <= max_cost for quote in worst(fewer)):
            return fewer
    return with_retakes(story, 0) if story.quality.retakes else story


def lowered(before: Story, after: Story) -> str:
    """What a cap has left of the retakes, as a sentence; empty if all of them."""
    asked, left = before.quality.retakes, after.quality.retakes
    if asked == left:
        return ""
    what = f"{left} retake{'s' * (left > 1)} of each clip instead of" if left else "no retakes instead of"
    return f"--max-cost allows {what} {asked}: more would cost too much if every clip failed."
