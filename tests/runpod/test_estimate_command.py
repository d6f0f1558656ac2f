"""`story-studio plan` prints what a story takes and costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.cli import main
from tests.runpod.estimates import (
    manifest_of,
    specified_story,
)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.startswith(("cold ", "warm "))]


WriteStory = Callable[..., Path]


def test_the_command_prints_a_line_for_each_option(
    write_story: WriteStory, capsys: pytest.CaptureFixture[str]
) -> None:
    story = write_story([0.5, 1.0, 0.7], video_settings={"resolution": "480p", "sample_steps": 20})
    assert main(["plan", str(story), "--workers", "2", "--price", "3.6"]) == 0
    stdout = capsys.readouterr().out
    assert "tale: 3 scenes, 2.2 s of voice, standard, A100 80GB at $3.6 an hour" in stdout
    assert "original estimates: cold start 530 s" in stdout
    assert "memory of a worker: 48 GB hold all models; with 27 GB those of stills are freed before" in stdout
    assert [row[:2] for row in rows(stdout)] == [["cold", "1"], ["cold", "2"], ["warm", "1"], ["warm", "2"]]
    # 2 * 250 s for models, 3 * 120 for clips, 2.8 for stills of 832x448, 0.6 for the film; $0.001 a second.
    assert rows(stdout)[2][2:] == ["14", "min", "23", "s", "14", "min", "23", "s", "$0.86"]


def test_without_a_story_the_command_prints_the_seed_s_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines[-5:]] == [
        "single video (cold) 15 min 0 s $0.47",
        "single video (warm) 2 min 0 s $0.06",
        "10-scene project (batch) 30 min 0 s $0.95",
        "10 videos (cold starts) 2 h 30 min $4.73",
        "The batch, on a warm worker, saves 80% of what ten cold videos cost.",
    ]
    table = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines}
    assert (table["RTX 4090 24GB"], table["L40S 48GB"], table["RAM, at least"]) == (
        "in parts",
        "whole",
        "36 GB",
    )


def test_a_derived_figure_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--gpu", "H100 80GB", "--profile", "turbo", "--price", "3"]) == 0
    stdout = capsys.readouterr().out
    assert "turbo, 832x480, turbo's own steps, up to 5 s of voice a video, H100 80GB at $3 an hour" in stdout
    assert "derived from the original estimates, never measured: a still (832x480, 20 steps) 4.16 s" in stdout
    assert "0.416 times as long as on an A100, as published for Wan2.2 A14B" in stdout
    assert "RunPod's list price" not in stdout


def test_a_gpu_that_holds_a_model_in_parts_is_named(
    write_story: WriteStory, capsys: pytest.CaptureFixture[str]
) -> None:
    story = str(write_story([0.5]))
    for profile, named in (("quality", True), ("turbo", False)):
        assert main(["plan", story, "--gpu", "RTX 4090 24GB", "--profile", profile]) == 0
        assert ("cannot hold the largest model of quality" in capsys.readouterr().out) is named


@pytest.mark.parametrize("option", ["--max-cost", "--workers"])
def test_an_option_without_effect_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", option, "2"]) == 1
    assert f"{option}: needs a story" in capsys.readouterr().err


def test_the_command_fails_when_nothing_is_within_the_cap(
    write_story: WriteStory, capsys: pytest.CaptureFixture[str]
) -> None:
    story = write_story([0.5, 0.6])
    assert main(["plan", str(story), "--max-cost", "0.01"]) == 1
    captured = capsys.readouterr()
    assert len(rows(captured.out)) == 4
    assert all(row[-2:] == ["above", "--max-cost"] for row in rows(captured.out))
    assert "tale: --max-cost: the least that it costs is $" in captured.err


def test_a_cap_excludes_only_what_is_above_it(
    write_story: WriteStory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(write_story([0.5, 0.6])), "--max-cost", "0.4"]) == 0
    excluded = {tuple(row[:2]): row[-1] == "--max-cost" for row in rows(capsys.readouterr().out)}
    assert excluded == {("cold", "1"): True, ("cold", "2"): True, ("warm", "1"): False, ("warm", "2"): True}


def test_the_command_shows_the_measured_figures(
    write_story: WriteStory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = write_story([0.5])
    warm = manifest_of(specified_story(1), {"total": 50.0, "stills": 6.0, "clips": 44.0, "films": 1.0}, {})
    (tmp_path / "out" / "story_123").mkdir(parents=True)
    (tmp_path / "out" / "story_123" / "manifest.json").write_text(json.dumps(warm))
    assert main(["plan", str(story), "--measured", str(tmp_path / "out")]) == 0
    stdout = capsys.readouterr().out
    assert "measured: a still (832x480, 20 steps) 6 s, a chunk of clip, up to 5 s (832x480" in stdout
    assert ", cfg above 1) 44 s, a second of film 0.208 s" in stdout
    assert "published times" not in stdout
    assert main(["plan", str(story), "--measured", str(tmp_path / "gone")]) == 1
    assert "no manifest in" in capsys.readouterr().err


def test_all_problems_are_reported_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("scenes: [{id: one, prompt: x, audio: gone.mp3}]\nprofile: turbow\n")
    assert main(["plan", str(tmp_path / "bad.yaml"), str(tmp_path / "none.yaml")]) == 1
    stderr = capsys.readouterr().err
    assert "gone.mp3 does not exist" in stderr and "did you mean 'turbo'?" in stderr and "none.yaml" in stderr
    assert main(["plan", str(tmp_path / "bad.yaml"), "--price", "0", "--workers", "-1"]) == 1
    stderr = capsys.readouterr().err
    assert "--price: 0.0 is not above 0." in stderr and "--workers: -1 is not above 0." in stderr
