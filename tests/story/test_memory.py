"""The memory plan: what stays in memory, what is freed first, and what a user reads about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from story_studio.story.memory import WORKING_GB, ModelUse, plan_memory

STANDARD = (
    ModelUse("still", "z_image_turbo_bf16.safetensors", 12.3),
    ModelUse("still", "qwen_3_4b.safetensors", 8.04, is_text_encoder=True),
    ModelUse("still", "ae.safetensors", 0.335),
    ModelUse("clip", "wan2.2_s2v_14B_fp8_scaled.safetensors", 16.4),
    ModelUse("clip", "umt5_xxl_fp8_e4m3fn_scaled.safetensors", 6.74, is_text_encoder=True),
    ModelUse("clip", "wan_2.1_vae.safetensors", 0.254),
    ModelUse("clip", "wav2vec2_large_english_fp16.safetensors", 0.63),
)
SIZES = st.floats(0.01, 100)


FREED_FIRST = (
    "the stills' models are freed before the clips' models are read, one read of 24 GB is waited for, "
)
ENCODERS = "each text encoder is freed once its prompts are encoded, "


@pytest.mark.parametrize(
    ("free", "sentence"),
    [
        (60, "all models stay in memory"),
        (30, f"{FREED_FIRST}27 GB at once"),
        (22, f"{FREED_FIRST}{ENCODERS}20 GB at once"),
        (
            14,
            f"{FREED_FIRST}{ENCODERS}20 GB at once, which may not be enough: close other programs, or use a "
            "profile with smaller models",
        ),
    ],
)
def test_the_plan_for_each_size_of_machine(free: int, sentence: str) -> None:
    assert str(plan_memory(STANDARD, free)) == f"needs 48 GB, {free} GB are free: {sentence}"


def test_after_memory_ran_out_models_are_freed_as_early_as_possible() -> None:
    plan = plan_memory(STANDARD, 60, careful=True)
    assert (plan.keeps_all, plan.keeps_text_encoders) == (False, False)
    assert "memory ran out here before" in str(plan)


def test_without_models_nothing_is_freed() -> None:
    for careful in (False, True):
        plan = plan_memory((), 0, careful)
        assert (plan.keeps_all, plan.keeps_text_encoders, plan.fits) == (True, True, True)
        assert str(plan) == "no model has to be in memory"


def test_clips_alone_are_not_said_to_wait_for_stills() -> None:
    plan = plan_memory([use for use in STANDARD if use.phase == "clip"], 22)
    assert plan.waits_for_gb == 0
    assert "stills" not in str(plan)


def test_a_file_of_both_phases_counts_once_if_all_stay() -> None:
    shared = [ModelUse("still", "both.safetensors", 10), ModelUse("clip", "both.safetensors", 10)]
    assert plan_memory(shared * 2, 100).needs == (10 + WORKING_GB,) * 3


@given(st.lists(st.tuples(st.sampled_from(["still", "clip"]), SIZES, st.booleans())), SIZES, st.booleans())
def test_less_at_once_is_never_more(models, free, careful) -> None:
    uses = [ModelUse(phase, str(index), gb, text) for index, (phase, gb, text) in enumerate(models)]
    plan = plan_memory(uses, free, careful)
    assert plan.needs.all + 1e-9 >= plan.needs.phase >= plan.needs.part >= 0
    assert plan.peak_gb in plan.needs
    # Nothing is given up that the memory holds, and what is kept fits.
    if not careful:
        assert plan.keeps_all == (plan.needs.all <= free or not uses)
        assert plan.keeps_text_encoders == (plan.needs.phase <= free or plan.keeps_all)
