"""A story's time and cost: the specification's table, other settings, shards, the cap, measured figures."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.paths import ROOT
from driver.runpod import estimate
from driver.runpod.gpus import gpus, vram_need
from driver.runpod.scenarios import saving, scenarios
from story_studio.story.plan import profile_of
from story_studio.story.problems import Problems
from story_studio.story.recipes import profile_names
from story_studio.story.schema import Story, parse
from tests.runpod.estimates import (
    A100,
    CHUNK,
    LOADED,
    PRICE,
    figures_from,
    manifest_of,
    quote,
    specified_story,
)


@pytest.mark.parametrize(
    ("story", "workers", "cold", "paid", "minutes", "cost"),
    [
        (specified_story(1, images=True, film=False), 1, True, 900, 15, "0.47"),
        (specified_story(1, images=True, film=False), 1, False, 120, 2, "0.06"),
        (specified_story(film=False), 1, False, 1800, 30, "0.95"),
        (specified_story(10, images=True, film=False), 10, True, 9000, 150, "4.73"),
    ],
    ids=["video cold", "video warm", "ten scenes", "ten cold starts"],
)
def test_the_specification_s_cost_table(
    story: Story, workers: int, cold: bool, paid: int, minutes: int, cost: str
) -> None:
    quoted = quote(story, workers, cold=cold)
    assert quoted.worker_seconds == paid == 60 * minutes
    assert estimate.money(quoted.cost) == cost
    assert quoted.seconds == paid / workers


def test_a_film_adds_less_than_a_minute_and_a_cent() -> None:
    quoted = quote(specified_story(), 1, cold=False)
    assert 1800 < quoted.seconds < 1830
    assert estimate.money(quoted.cost) == "0.95"


def test_more_workers_are_faster_and_each_pays_its_own_start() -> None:
    one, five = (quote(specified_story(), workers, cold=True) for workers in (1, 5))
    film = figures_from().film.seconds * 10 * CHUNK
    assert five.seconds == pytest.approx(530 + 2 * 250 + 2 * (10 + 120) + film)
    assert five.worker_seconds - one.worker_seconds == pytest.approx(4 * (530 + 2 * 250))


def test_no_more_workers_than_scenes() -> None:
    seconds = {"scene_1": 3.0, "scene_2": 4.0}
    options = estimate.quotes(specified_story(2), seconds, figures_from(), PRICE, 9)
    assert [(option.cold, option.workers) for option in options] == [
        (True, 1),
        (True, 2),
        (False, 1),
        (False, 2),
    ]


def clip_seconds(voice: float = CHUNK, profile: str = "standard", **settings: Any) -> float:
    """A clip alone: on a warm worker, with its own image and no film."""
    story = specified_story(1, images=True, film=False, profile=profile, video_settings=settings)
    return quote(story, 1, cold=False, voice=voice).seconds


def test_a_clip_takes_another_chunk_when_its_voice_is_a_frame_longer() -> None:
    assert clip_seconds(CHUNK + 0.001) == clip_seconds(CHUNK + 5) == 2 * clip_seconds(0.2) == 240


def test_clips_grow_with_steps_guidance_and_pixels() -> None:
    # 40 model calls, and 1.1 more for the VAE, take 120 s.
    assert clip_seconds(sample_steps=40) == pytest.approx(120 * 81.1 / 41.1)
    assert clip_seconds(cfg=1) == pytest.approx(120 * 21.1 / 41.1)
    assert clip_seconds(profile="turbo") == pytest.approx(120 * 5.1 / 41.1)
    assert clip_seconds(profile="quality") == clip_seconds(sample_steps=40)
    # Twice the pixels: twice the work, but four times for 53 % of a model call.
    assert clip_seconds(resolution="832x960") == pytest.approx(120 * 2 * (40 * 1.53 + 1.1) / 41.1)


def test_stills_grow_with_steps_and_pixels() -> None:
    def still(**settings: Any) -> float:
        story = specified_story(1, film=False, image_settings=settings)
        return quote(story, 1, cold=False).seconds - 500 - 120

    assert still(width=832, height=480, steps=20) == pytest.approx(10)
    assert still(width=1664, height=480, steps=10) == pytest.approx(10)
    assert still(width=832, height=480) == pytest.approx(4)


def test_a_draft_loads_no_models() -> None:
    assert quote(specified_story(profile="draft"), 1, cold=False).seconds < 60
    assert quote(specified_story(profile="draft"), 1, cold=True).seconds < 530 + 60


@given(st.dictionaries(st.text("abc", min_size=1), st.floats(0.2, 1800), min_size=1), st.integers(1, 12))
def test_every_scene_is_in_one_shard_and_no_shard_is_empty(seconds: dict[str, float], workers: int) -> None:
    shards = estimate.split_into_shards(seconds, workers)
    assert sorted(itertools.chain(*shards)) == sorted(seconds)
    assert len(shards) == min(workers, len(seconds))
    assert all(shards)
    order = list(seconds)
    assert all(shard == sorted(shard, key=order.index) for shard in shards)
    longest = max(sum(seconds[scene] for scene in shard) for shard in shards)
    # The last scene of the longest shard went to the worker with the least work.
    assert longest <= sum(seconds.values()) / workers + max(seconds.values()) * (1 - 1 / workers) + 1e-6


@given(st.lists(st.integers(1, 60), min_size=1, max_size=7), st.integers(1, 3))
def test_shards_are_within_a_third_of_the_best(lengths: list[int], workers: int) -> None:
    seconds = {f"scene_{number}": float(length) for number, length in enumerate(lengths)}
    longest = max(
        sum(seconds[scene] for scene in shard) for shard in estimate.split_into_shards(seconds, workers)
    )

    def worst(owners: tuple[int, ...]) -> int:
        loads = [0] * workers
        for owner, length in zip(owners, lengths, strict=True):
            loads[owner] += length
        return max(loads)

    best = min(map(worst, itertools.product(range(workers), repeat=len(lengths))))
    assert longest <= best * (4 / 3 - 1 / (3 * workers)) + 1e-9


def test_the_fastest_within_the_cap_is_chosen() -> None:
    slow, fast = estimate.Quote(1, False, 100, 100, 0.5), estimate.Quote(2, False, 60, 120, 0.6)
    expensive = estimate.Quote(2, True, 60, 240, 1.2)
    assert (
        estimate.choose([slow, expensive, fast], None)
        == estimate.choose([slow, expensive, fast], 0.6)
        == fast
    )
    assert estimate.choose([slow, fast, expensive], 0.59) == slow
    with pytest.raises(Problems, match=r"--max-cost: .* \$0\.50, warm, with 1 worker"):
        estimate.choose([expensive, slow, fast], 0.49)


def test_the_lowest_cost_in_the_message_is_enough() -> None:
    quoted = quote(specified_story(), 1, cold=False)
    with pytest.raises(Problems, match=r"\$0\.96,"):
        estimate.choose([quoted], 0.95)
    assert estimate.choose([quoted], 0.96) == quoted


def test_limits_exceed_the_default_ten_minutes_and_never_seven_days() -> None:
    short = estimate.limit(estimate.Quote(1, False, 120, 120, 0.06))
    assert short.execution > max(600, 4 * 120)
    assert short.ttl > short.execution
    long = estimate.limit(estimate.Quote(1, True, 10**7, 10**7, 5000))
    assert long.execution < long.ttl <= 7 * 86400


def test_measured_figures_replace_the_estimates() -> None:
    story = specified_story(2)
    warm = manifest_of(
        story, {"total": 99.0, "stills": 6.0, "clips": 90.0, "films": 1.0, "between": 10.0}, {}
    )
    cold = manifest_of(
        story, {"total": 400.0, "stills": 90.0, "clips": 300.0, "films": 2.0, "between": 140.0}, LOADED
    )
    first = figures_from()
    figures = figures_from(warm, cold)
    # The cold render's stills include the loading of their models, so they do not count.
    assert figures.still == (3, "measured")
    assert figures.clip.seconds == pytest.approx((80 + 160) / 4)
    assert figures.load_clips == (140, "measured")
    assert figures.film.seconds == pytest.approx(3 / (4 * CHUNK))
    assert (figures.start, figures.load_stills) == (first.start, first.load_stills)
    assert first.clip == (120, "original estimates")


def test_measured_figures_are_scaled_to_the_settings() -> None:
    warm = manifest_of(specified_story(1), {"total": 9.0, "stills": 6.0, "clips": 82.2, "films": 1.0}, {})
    figures = figures_from(warm)
    story = specified_story(1, images=True, film=False, video_settings={"sample_steps": 10})
    assert quote(story, 1, cold=False, figures=figures).seconds == pytest.approx(82.2 * 21.1 / 41.1)


@pytest.mark.parametrize("change", [{"profile": "turbo"}, {"status": "partial"}])
def test_renders_that_do_not_measure_this_profile_do_not_count(change: dict[str, Any]) -> None:
    warm = manifest_of(
        specified_story(2), {"total": 9.0, "stills": 6.0, "clips": 9.0, "films": 1.0}, {}, **change
    )
    assert figures_from(warm) == figures_from()


def test_reused_results_and_supplied_images_do_not_count() -> None:
    warm = manifest_of(specified_story(3), {"total": 9.0, "stills": 6.0, "clips": 9.0, "films": 0.1}, {})
    warm["scenes"][0]["settings"]["still"] = None
    warm["scenes"][1]["still"]["reused"] = warm["scenes"][1]["clip"]["reused"] = True
    warm["film"]["reused"] = True
    figures = figures_from(warm)
    assert (figures.still, figures.clip) == ((6, "measured"), (4.5, "measured"))
    assert figures.film == figures_from().film


def test_clips_with_an_unknown_wait_for_their_models_do_not_count() -> None:
    cold = manifest_of(
        specified_story(1), {"total": 400.0, "stills": 0.1, "clips": 300.0, "films": 1.0}, LOADED
    )
    cold["scenes"][0]["still"]["reused"] = True
    assert figures_from(cold).clip.source == "original estimates"


def test_stories_rendered_together_count_their_time_once() -> None:
    seconds = {"total": 99.0, "stills": 8.0, "clips": 80.0, "films": 2.0}
    together = [manifest_of(specified_story(2), seconds, {}, project_id=name) for name in ("one", "two")]
    figures = figures_from(*together)
    assert (figures.still, figures.clip) == ((2, "measured"), (20, "measured"))


@pytest.mark.parametrize("gpu", gpus())
def test_every_gpu_has_the_seed_s_table_in_its_own_figures(gpu: str) -> None:
    about = gpus()[gpu]
    still, clip, price = about.still, about.clip, about.price
    found = scenarios(estimate.figures_for("standard", gpu, []), price, None)
    paid = [530 + 250 + clip, clip, 500 + 10 * (still + clip), 10 * (530 + 250 + clip)]
    assert [quote.worker_seconds for _, quote in found] == pytest.approx(paid)
    assert [quote.cost for _, quote in found] == pytest.approx([seconds * price / 3600 for seconds in paid])
    assert saving(found) == pytest.approx(1 - paid[2] / paid[3])
    sources = {figure.source for figure in estimate.figures_for("standard", gpu, [])}
    assert (estimate.DERIVED in sources) is (gpu != A100) is bool(about.about)
    # A derived GPU is as much faster at the one as at the other.
    assert still / 10 == pytest.approx(clip / 120, rel=1e-2)


def test_the_hub_offers_gpus_that_can_be_planned_and_hold_every_model() -> None:
    hub = json.loads((ROOT / ".runpod/hub.json").read_text())["config"]["gpuIds"].split(",")
    known = {gpu.pool: gpu for gpu in gpus().values()}
    assert set(hub) <= set(known)
    assert min(known[pool].vram_gb for pool in hub) >= max(vram_need(name) for name in profile_names())


def test_an_unknown_gpu_is_a_problem() -> None:
    with pytest.raises(Problems, match="A100 80GB"):
        estimate.figures_for("standard", "A100 80", [])


def _kinds_story(**more: Any) -> Story:
    scenes = [
        {"id": "a", "prompt": "a woman", "audio": "a.wav"},
        {"id": "b", "prompt": "the sea", "audio": "b.wav", "kind": "narrated"},
        {"id": "c", "prompt": "the lamp", "seconds": 10},
        {"id": "d", "clip": "shot.mp4"},
    ]
    return parse({"project_id": "kinds", "scenes": scenes, **more})


def test_each_kind_of_scene_is_estimated_as_it_is_made() -> None:
    figures = estimate.figures_for("standard", A100, [])
    seconds = {"a": CHUNK, "b": 10.0, "c": 10.0, "d": 10.0}
    story = _kinds_story()
    rows = estimate.by_kind(story, seconds, figures, profile_of(story))
    assert [(row.kind, row.scenes, row.seconds) for row in rows] == [
        ("talking", 1, CHUNK),
        ("narrated", 1, 10.0),
        ("silent", 1, 10.0),
        ("clip", 1, 10.0),
    ]
    talking, narrated, silent, own = (row.worker_seconds for row in rows)
    # A camera move and a trimmed clip cost next to nothing beside a clip by a model.
    assert talking > 100 > narrated == silent > own > 0
    moving = _kinds_story(video_settings={"narrated_workflow": "wan22_i2v_clip.json"})
    by_model = estimate.by_kind(moving, seconds, figures, profile_of(moving))
    # Two segments of 81 frames, each of 80 runs: about as long as four of the seed's chunks.
    assert by_model[1].worker_seconds == pytest.approx(4 * 120, rel=0.25)
    assert by_model[0].worker_seconds == talking and by_model[3].worker_seconds == own
    (cold, *_), (more, *_) = (
        estimate.quotes(each, seconds, figures, PRICE, 1, profile_of(each)) for each in (story, moving)
    )
    # The second recipe of clips loads models of its own.
    extra = sum(row.worker_seconds for row in by_model) - sum(row.worker_seconds for row in rows)
    assert more.seconds - cold.seconds == pytest.approx(extra + figures.load_clips.seconds)


def test_a_warm_worker_loads_nothing_for_own_clips() -> None:
    story = parse({"project_id": "own", "film": False, "scenes": [{"id": "d", "clip": "shot.mp4"}]})
    figures = estimate.figures_for("standard", A100, [])
    cold, warm = estimate.quotes(story, {"d": 10.0}, figures, PRICE, 1, profile_of(story))
    assert warm.seconds < 10 and cold.seconds - warm.seconds == figures.start.seconds


def test_shots_of_one_speaker_share_a_still() -> None:
    lines = [{"character": who, "audio": f"{n}.wav"} for n, who in enumerate(("mara", "tom", "mara"))]
    people = {"mara": {"description": "a woman"}, "tom": {"description": "a man"}}
    scenes = [{"id": "talk", "prompt": "a room", "establishing": 0, "lines": lines}]
    story = parse({"project_id": "talk", "characters": people, "scenes": scenes})
    figures = estimate.figures_for("standard", A100, [])
    lengths = {scene.id: CHUNK for scene in story.scenes}
    three, two = (
        estimate.by_kind(each, lengths, figures, profile_of(each))[0].worker_seconds
        for each in (story, story.model_copy(update={"scenes": story.scenes[:2]}))
    )
    # The third shot costs its clip alone.
    assert three - two == pytest.approx(figures.clip.seconds)
