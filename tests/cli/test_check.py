"""`story-studio check`: files, and the clips of a rendered story."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from driver.cli import main
from driver.rendering.checks import rendered_clips, write_down
from driver.rendering.manifest import Manifest, Result, SceneEntry, VideoResult, read_manifest
from driver.rendering.render import locked
from driver.rendering.run import RenderError
from driver.terminal import FAILED, OK
from story_studio.checks.check import check_clip, read_check
from tests.checks.clips import write_clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip without faults, and one that stands still for a second."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "good.mp4")
    write_clip(folder / "frozen.mp4", frozen=range(8, 24))
    return folder


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def check(*words: object) -> int:
    return main(["check", *map(str, words)])


def test_files_are_checked_and_one_object_is_printed_for_each(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--json", "--not-talking", "--output", tmp_path)
    assert check(clips / "good.mp4", clips / "frozen.mp4", *words) == FAILED
    good, frozen = lines(capsys)
    assert list(good) == ["file", "key", "verdict", "findings", "figures", "sheet"]
    assert (good["file"], good["verdict"]) == (str(clips / "good.mp4"), "pass")
    assert frozen["verdict"] == "fail"
    (finding,) = frozen["findings"]
    assert finding["figure"] == "frames.frozen" and "from 0:00" in finding["text"]
    assert Path(frozen["sheet"]).parent == tmp_path / "story_studio" / "checks"
    assert check(clips / "good.mp4", *words) == OK


def test_people_read_a_line_a_file_and_one_a_finding(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(clips / "good.mp4", clips / "frozen.mp4", "--not-talking", "--output", tmp_path)
    shown = capsys.readouterr()
    assert "pass  good.mp4  2.0 s" in shown.out
    assert "fail  frozen.mp4  2.0 s" in shown.out
    assert re.search(r"\n      fail  the image stands still for 1\.\d s from 0:00\n", shown.out)
    assert shown.err.splitlines()[-1] == "2 clips checked, 1 failed."


def test_the_problems_of_several_files_are_reported_together(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "story.yaml").write_text("project_id: tale\nscenes: [{id: one, prompt: a, audio: a.wav}]\n")
    names = [tmp_path / "text.mp4", tmp_path / "nothing.mp4", tmp_path / "story.yaml"]
    words = ("--json", "--not-talking", "--output", tmp_path / "out")
    assert check(*names, clips / "good.mp4", *words) == FAILED
    shown = capsys.readouterr()
    assert [json.loads(line)["verdict"] for line in shown.out.splitlines()] == ["pass"]
    assert f"{tmp_path}/text.mp4: cannot be read as video" in shown.err
    assert f"{tmp_path}/nothing.mp4: there is no such file" in shown.err
    assert f"{tmp_path}/story.yaml: was not rendered" in shown.err
    assert shown.err.splitlines()[-1] == "1 clip checked, 0 failed; 3 could not be checked."
    assert check(tmp_path / "nothing.mp4", *words) == FAILED
    assert "1 problem; nothing was checked." in capsys.readouterr().err


def test_a_reference_is_read_for_all_files(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, words = tmp_path / "image.png", ("--json", "--output", tmp_path / "out")
    Image.new("RGB", (64, 48), "teal").save(image)
    check(clips / "good.mp4", "--reference", image, *words)
    assert lines(capsys)[0]["figures"]["referenced"]
    image.write_text("no image")
    assert check(clips / "good.mp4", "--reference", image, *words) == FAILED
    assert f"its reference {image} holds text, not an image" in capsys.readouterr().err


def test_a_check_that_cannot_be_written_is_not_a_clip_that_cannot_be_read(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "story_studio" / "checks"
    store.parent.mkdir()
    store.write_text("in the way")
    assert check(clips / "good.mp4", "--not-talking", "--output", tmp_path) == FAILED
    err = capsys.readouterr().err
    assert f"good.mp4: was not checked, because nothing can be written to {store} (" in err


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width", [12_000, 20_000])
def test_a_reference_of_too_many_pixels_is_refused_before_it_is_decoded(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    Image.new("1", (64, 48)).save(image := tmp_path / "image.bmp")
    data = bytearray(image.read_bytes())
    struct.pack_into("<ii", data, 18, width, 10_000)
    image.write_bytes(data)
    assert check(clips / "good.mp4", "--reference", image, "--output", tmp_path / "out") == FAILED
    assert f"its reference {image} has more than 100 million pixels" in capsys.readouterr().err


def test_options_without_effect_are_refused(
    clips: Path, story: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([story, "--not-talking"], [story, "--reference", "a.png"]):
        assert check(*words, "--output", story.parent / "out") == FAILED
        assert f"{words[1]}: has no effect on stories" in capsys.readouterr().err
    words = (clips / "good.mp4", "--not-talking", "--reference", "a.png")
    assert check(*words, "--output", story.parent / "out") == FAILED
    assert "--reference: has no effect with --not-talking" in capsys.readouterr().err


@pytest.fixture
def story(clips: Path, tmp_path: Path) -> Path:
    """A story of two silent scenes as a render would leave it."""
    folder = tmp_path / "out" / "tale"
    folder.mkdir(parents=True)
    scenes = []
    for number, name in enumerate(("good", "frozen")):
        scene = f"scene_{number}"
        os.link(clips / f"{name}.mp4", folder / f"{scene}_video.mp4")
        Image.new("RGB", (128, 96), "teal").save(folder / f"{scene}_img.png")
        scenes.append(
            SceneEntry(
                id=scene,
                kind="silent",
                still=Result(file=f"{scene}_img.png"),
                clip=VideoResult(file=f"{scene}_video.mp4"),
            )
        )
    Manifest(project_id="tale", status="complete", profile="turbo", scenes=scenes).write(folder)
    file = tmp_path / "story.yaml"
    about = [{"id": scene.id, "prompt": "a hill", "kind": "silent", "seconds": 2} for scene in scenes]
    # Of the shipped profiles, only camera moves make silent scenes.
    settings = {"narrated_workflow": "wan22_i2v_clip.json"}
    file.write_text(yaml.safe_dump({"project_id": "tale", "video_settings": settings, "scenes": about}))
    return file


def test_the_clips_of_a_story_are_checked_and_written_down(
    story: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = story.parent / "out" / "tale"
    assert check(story, "--json", "--output", story.parent / "out") == FAILED
    shown = lines(capsys)
    assert [(one["scene"], one["verdict"]) for one in shown] == [("scene_0", "pass"), ("scene_1", "fail")]
    # Nobody speaks on screen, so no face is compared with that of the still.
    assert not any(one["figures"]["referenced"] for one in shown)
    manifest = read_manifest(folder)
    assert manifest
    for one, entry in zip(shown, manifest.scenes, strict=True):
        assert entry.check and entry.check.model_dump(mode="json")["findings"] == one["findings"]
        assert (entry.check.verdict, entry.check.key) == (one["verdict"], one["key"])
        assert entry.check.file == f"{entry.id}_check.png"
        kept = read_check(folder / entry.check.file)
        assert kept and kept.key == one["key"]
        # What else the manifest said is still there.
        assert entry.clip and entry.clip.file == f"{entry.id}_video.mp4"


def test_what_a_render_did_meanwhile_stays_in_the_manifest(story: Path) -> None:
    output = story.parent / "out"
    rendered, folder = rendered_clips(story, output), output / "tale"
    found = {}
    for clip in rendered.clips:
        assert clip.scene
        found[clip.scene.id] = check_clip(clip.path, None, name=clip.name, talking=False)
    later = read_manifest(folder)
    assert later and later.scenes[1].clip
    later.film = VideoResult(file="film.mp4", key="f" * 24)
    later.scenes[1].clip.sha256 = "another"
    later.write(folder)
    with locked(folder), pytest.raises(RenderError, match="Another render of tale"):
        write_down(rendered, found)
    assert write_down(rendered, found) == ["scene_1"]
    now = read_manifest(folder)
    assert now and now.film and now.film.key == "f" * 24
    assert [bool(scene.check) for scene in now.scenes] == [True, False]


def test_checks_that_a_render_keeps_out_of_the_manifest_are_a_problem(
    story: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = story.parent / "out"
    before = (output / "tale" / "manifest.json").read_bytes()
    with locked(output / "tale"):
        assert check(story, "--output", output) == FAILED
    err = capsys.readouterr().err
    assert "tale: the manifest does not have the checks. Another render of tale writes to" in err
    assert (output / "tale" / "manifest.json").read_bytes() == before


def test_camera_moves_are_not_checked(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = yaml.safe_load(story.read_text())
    del about["video_settings"]
    story.write_text(yaml.safe_dump(about))
    assert check(story, "--output", story.parent / "out") == FAILED
    assert "has no clip to check" in capsys.readouterr().err


def test_a_clip_that_is_missing_is_said(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = story.parent / "out" / "tale" / "scene_1_video.mp4"
    clip.unlink()
    assert check(story, "--output", story.parent / "out") == FAILED
    assert f"{clip}: is missing: render the story again" in capsys.readouterr().err
