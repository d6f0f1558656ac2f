"""Clips that are made again: how many are expected, what they cost, and what a cap leaves of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver.cli import main
from driver.rendering.manifest import Manifest
from driver.runpod import estimate, retakes
from story_studio.story.schema import Story, parse

A100, PRICE, CHUNK = "A100 80GB", 1.89, 77 / 16
FROZEN = {"figure": "frames.frozen", "value": 1, "limit": 0.5, "level": "fail", "at": 1, "text": "frozen"}
HEAVY = {"sample_steps": 200, "resolution": "480p"}
WriteStory = Callable[..., Path]


def story_of(scenes: int, retakes: int, **more: Any) -> Story:
    """A story of one chunk a scene, each with its own image."""
    entries = [
        {"id": f"scene_{number}", "prompt": "a hero", "audio": "a.wav", "image": "a.png", **more}
        for number in range(scenes)
    ]
    settings = {"video_settings": {"sample_steps": 20}, "quality": {"retakes": retakes}, "film": False}
    return parse({"project_id": "tale", "scenes": entries, **settings})


def offers(story: Story, retakes: estimate.RetakesExpected = float) -> list[estimate.Quote]:
    figures = estimate.figures_for("standard", A100, [])
    seconds = {scene.id: CHUNK for scene in story.scenes}
    return estimate.quotes(story, seconds, figures, PRICE, 1, None, retakes)


def manifest_of(verdicts: str, **more: Any) -> Manifest:
    """A manifest of scenes that were made until one passed: `fp f` are two scenes of two takes and of one."""
    words = {"f": "fail", "w": "warn", "p": "pass"}
    scenes = [
        {"id": str(number), "takes": [{"key": key, "verdict": words[key]} for key in takes], **more}
        for number, takes in enumerate(verdicts.split())
    ]
    return Manifest.model_validate({"project_id": "tale", "status": "complete", "scenes": scenes})


def test_a_retake_costs_a_clip_and_neither_a_still_nor_a_start() -> None:
    cold, warm = offers(story_of(1, 2), estimate.never), offers(story_of(1, 2))
    assert [quote.worker_seconds for quote in cold] == [900, 120]
    assert [quote.worker_seconds for quote in warm] == [900 + 240, 120 + 240]
    (_, expected) = offers(story_of(1, 2), retakes.expected_with(0.5))
    assert expected.worker_seconds == pytest.approx(120 * (1 + 0.5 + 0.25))


def test_only_clips_that_have_a_seed_and_are_not_chosen_are_made_again() -> None:
    seconds = {"scene_0": CHUNK}
    counts = [
        retakes.expected(story, seconds, 0.5)
        for story in (
            story_of(1, 2),
            story_of(1, 2, clip_take="a" * 24),
            story_of(1, 2, kind="narrated"),
            parse(story_of(1, 0).model_dump(exclude_unset=True) | {"quality": {"check": False}}),
        )
    ]
    assert [(count.checked, count.most) for count in counts] == [(1, 2), (1, 0), (0, 0), (0, 0)]
    assert counts[0].retakes == pytest.approx(0.75)


def test_the_share_of_failing_clips_is_measured_where_ten_were_checked() -> None:
    assert retakes.share_of_failing([]) == (retakes.ASSUMED_SHARE, 0)
    assert retakes.share_of_failing([manifest_of("fp p p")]) == (retakes.ASSUMED_SHARE, 0)
    assert retakes.share_of_failing([manifest_of("fp p w ffp"), manifest_of("p p p")]) == (3 / 10, 10)


def test_a_take_that_fails_counts_where_another_seed_may_help() -> None:
    takes = [{"verdict": "fail", "needs_retake": needs} for needs in (True, False)] * 5
    scenes = [{"id": "one", "takes": takes}]
    manifest = Manifest.model_validate({"project_id": "tale", "scenes": scenes})
    assert retakes.share_of_failing([manifest]) == (0.5, 10)


@pytest.mark.parametrize(("retake", "share"), [(True, 0.5), (False, 0.0)])
def test_without_retakes_a_check_counts_that_another_seed_may_help(retake: bool, share: float) -> None:
    checks = [{"verdict": "fail", "findings": [{**FROZEN, "retake": retake}]}, {"verdict": "pass"}] * 5
    scenes = [{"id": str(number), "check": check} for number, check in enumerate(checks)]
    manifest = Manifest.model_validate({"project_id": "tale", "scenes": scenes})
    assert retakes.share_of_failing([manifest]) == (share, 10)


def test_a_cap_leaves_the_retakes_that_it_pays_for_if_every_clip_fails() -> None:
    story = story_of(2, 3)
    costs = [offers(story_of(2, count))[1].cost for count in range(4)]
    assert sorted(costs) == costs
    for cap, left in ((None, 3), (costs[3], 3), (costs[3] - 0.001, 2), (costs[1], 1), (costs[0], 0), (0, 0)):
        within = retakes.within_cap(story, cap, offers)
        assert within.quality.retakes == left
        assert bool(retakes.lowered(story, within)) == (left < 3)
    assert story.quality.retakes == 3


def test_plan_says_what_is_expected_and_the_most(
    write_story: WriteStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_story([2.0, 3.0], quality={"retakes": 2})
    assert main(["plan", str(path), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "checks: 2 clips, " in out
    assert "retakes: 0.2 expected in all, because 10% of clips fail their check (assumed" in out
    assert "at most 4." in out and "at most\n" in out
    # What earlier renders in the output folder say replaces the assumption.
    for folder in ("output", "other"):
        (tmp_path / folder / "tale").mkdir(parents=True)
    manifest_of("fp p p p p p p p f f").write(tmp_path / "output" / "tale")
    assert main(["plan", str(path), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "because 27% of clips fail their check (measured, of 11 in output)" in out
    manifest_of("fpp p p p p p p p").write(tmp_path / "other" / "tale")
    assert main(["plan", str(path), "--workers", "1", "--output", "other"]) == 0
    assert "because 10% of clips fail their check (measured, of 10 in other)" in capsys.readouterr().out


def test_plan_lowers_the_retakes_to_the_cap(write_story: WriteStory, capsys: pytest.CaptureFixture) -> None:
    path = write_story([2.0, 3.0], quality={"retakes": 5}, video_settings=HEAVY)
    assert main(["plan", str(path), "--workers", "1"]) == 0
    *_, warm = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("warm "))
    cap = (float(warm[-2].strip("$")) + float(warm[-1].strip("$"))) / 2
    assert main(["plan", str(path), "--workers", "1", "--max-cost", str(cap)]) == 0
    out = capsys.readouterr().out
    assert "of each clip instead of 5" in out
    assert main(["plan", str(path), "--workers", "1", "--max-cost", "0.01"]) == 1
