"""The memory plan carried out by the real server: what is read when, and what is in memory then."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from driver.comfy import care
from driver.comfy.process import Server
from driver.terminal import OK
from tests.benchmarks.loads import Jobs, finish
from tests.studio import CPU_FLAGS, TINY_PACK, Studio

WriteStory = Callable[..., Path]
STILL_MODEL, CLIP_MODEL = "z_image_turbo_bf16.safetensors", "wan2.2_s2v_14B_fp8_scaled.safetensors"
STILL_TEXT, CLIP_TEXT = "qwen_3_4b.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
STILL_FILES = {STILL_MODEL, STILL_TEXT, "ae.safetensors"}
CLIP_FILES = {CLIP_MODEL, CLIP_TEXT, "wan_2.1_vae.safetensors", "wav2vec2_large_english_fp16.safetensors"}


@pytest.fixture(scope="module")
def careful(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A server of a machine on which memory ran out before, which records what is in memory."""
    workspace, records = tmp_path_factory.mktemp("careful"), tmp_path_factory.mktemp("careful_records")
    (workspace / "custom_nodes").mkdir()
    (workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    care.remember(workspace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORY_STUDIO_TEST_LOADS", str(records / "loads"))
        patch.setenv("STORY_STUDIO_TEST_SAMPLES", str(records / "samples"))
        patch.setenv("STORY_STUDIO_TEST_ALIVE", "1")
        server = Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS)
        with server:
            yield Studio(server, records)


class Rendered(NamedTuple):
    """A rendered story, and the server's record of it."""

    story: Path
    output: Path
    loads: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    said: str


RenderOn = Callable[[Studio], Rendered]


@pytest.fixture
def render_on(write_story: WriteStory, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> RenderOn:
    """Renders a story of three scenes on a server that has nothing in memory."""

    def render(studio: Studio) -> Rendered:
        studio.comfy.free()
        studio.loads()
        studio.samples()
        story = write_story([0.3, 0.4, 0.5], seed=int.from_bytes(os.urandom(4)))
        assert studio.render(story, tmp_path / "output") == OK
        return Rendered(story, tmp_path / "output", studio.loads(), studio.samples(), capfd.readouterr().err)

    return render


@pytest.fixture(scope="module")
def first() -> list[Rendered]:
    """What `rendered` has rendered."""
    return []


@pytest.fixture
def rendered(careful: Studio, render_on: RenderOn, first: list[Rendered]) -> Rendered:
    """A story on the careful server, the same in each test."""
    if not first:
        first.append(render_on(careful))
    return first[0]


def test_clips_are_read_after_the_last_still_and_each_file_once(rendered: Rendered) -> None:
    assert Counter(load["file"] for load in rendered.loads) == dict.fromkeys(STILL_FILES | CLIP_FILES, 1)
    last_still = max(sample["time"] for sample in rendered.samples if sample["kind"] != "WAN22_S2V")
    early = {load["file"] for load in rendered.loads if load["time"] <= last_still}
    assert early == STILL_FILES


def test_nothing_that_is_no_longer_needed_is_in_memory_when_a_model_is_read(rendered: Rendered) -> None:
    alive = {load["file"]: load["alive"] for load in rendered.loads}
    # Each encoder has its prompts behind it when the model of its phase is read, and is gone.
    assert alive[STILL_TEXT] == []
    assert alive[STILL_MODEL] == []
    assert alive[CLIP_TEXT] == []
    assert alive[CLIP_MODEL] == []


def test_the_user_reads_what_is_done_about_memory(rendered: Rendered) -> None:
    assert "Memory: needs 3 GB" in rendered.said
    assert "memory ran out here before, so models are freed as early as possible" in rendered.said


def test_results_are_the_same_to_the_byte(rendered: Rendered, studio: Studio, tmp_path: Path) -> None:
    assert studio.render(rendered.story, tmp_path / "roomy") == OK
    for name in ("scene_1_img.png", "scene_1_video.mp4", "film.mp4"):
        paths = [folder / "tale" / name for folder in (rendered.output, tmp_path / "roomy")]
        first, second = (path.read_bytes() for path in paths)
        assert first == second, name


def test_the_models_of_one_job_are_gone_before_those_of_the_next_are_read(
    careful: Studio, tmp_path: Path
) -> None:
    careful.comfy.free()
    jobs = Jobs(careful.comfy, tmp_path)
    careful.loads()
    for job in (jobs.still(1), jobs.clip(2), jobs.still(3)):
        finish(careful.comfy, job)
    loads = careful.loads()
    assert [load["file"] for load in loads if load["file"] in (STILL_MODEL, CLIP_MODEL)] == [
        STILL_MODEL,
        CLIP_MODEL,
        STILL_MODEL,
    ]
    assert [load["alive"] for load in loads if load["file"] in (STILL_MODEL, CLIP_MODEL)] == [[], [], []]


def test_a_graph_of_stock_loaders_is_freed_within_one_prompt(careful: Studio, tmp_path: Path) -> None:
    """As the interface queues it, with Load CLIP."""
    careful.comfy.free()
    story = Jobs(careful.comfy, tmp_path).stories(1, 2, seed=5)
    for node in story.nodes.values():
        if node["class_type"] == "StoryStudio_TextEncoder":
            node["class_type"] = "CLIPLoader"
    careful.loads()
    finish(careful.comfy, story)
    loads = careful.loads()
    assert max(Counter(load["file"] for load in loads).values()) == 1
    (clip_model,) = (load for load in loads if load["file"] == CLIP_MODEL)
    assert clip_model["alive"] == []


def test_prompts_of_the_next_story_are_encoded_together(
    careful: Studio, write_story: WriteStory, tmp_path: Path
) -> None:
    careful.comfy.free()
    for number in range(2):
        careful.loads()
        story = write_story(
            [0.3, 0.3], film=False, seed=int.from_bytes(os.urandom(4)), style=f"style {number}"
        )
        assert careful.render(story, tmp_path / f"output_{number}") == OK
        reads = Counter(load["file"] for load in careful.loads())
        assert reads[STILL_TEXT] == 1
        assert reads[STILL_MODEL] == 1


def test_clips_are_read_while_stills_are_rendered_if_all_models_stay(
    studio: Studio, render_on: RenderOn
) -> None:
    """All stay, unless other programs have left less than 3 GB."""
    rendered = render_on(studio)
    assert Counter(load["file"] for load in rendered.loads) == dict.fromkeys(STILL_FILES | CLIP_FILES, 1)
    last_still = max(sample["time"] for sample in rendered.samples if sample["kind"] != "WAN22_S2V")
    ahead = min(load["time"] for load in rendered.loads if load["file"] in CLIP_FILES) < last_still
    plan = studio.comfy.memory_plan()
    assert plan.text
    assert ahead == plan.keeps_all == ("Memory:" not in rendered.said)
