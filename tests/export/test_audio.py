"""The audio of timelines: as loud as in the film, in its place, and in CapCut's draft too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import opentimelineio as otio
import pytest
import yaml

from driver.export.audio import loudness_of
from tests.export.projects import FRAMES, SCENES, Project

QUIETER, LEVEL = 6.0, -18.0


def test_voices_and_music_are_as_loud_as_in_the_film(project: Project, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "three.wav", tmp_path / "bed.wav")
    story = yaml.safe_load(project.story.read_text())
    story["film"]["music"] = "bed.wav"
    project.story.write_text(yaml.safe_dump(story))
    before = [loudness_of(tmp_path / f"{scene}.wav") for scene in SCENES]
    target = min(before) - QUIETER
    cut = project.set_cut(sound={"target": target, "loudness": target, "voices": before})
    cut.shots[1].music = False
    project.set_cut(sound=cut.sound, shots=cut.shots)
    folder = project.export("otio")
    for scene in SCENES:
        assert loudness_of(folder / "media" / f"{scene}_voice.wav") == pytest.approx(target, abs=0.2)
    assert loudness_of(folder / "media" / "_music.wav") == pytest.approx(target + LEVEL, abs=0.2)
    music = otio.adapters.read_from_file(str(folder / "tale.otio")).tracks[2]
    played = [
        (
            music.range_of_child(item).start_time.value,
            item.source_range.start_time.value,
            item.duration().value,
        )
        for item in music
        if isinstance(item, otio.schema.Clip)
    ]
    first, second, third = FRAMES
    # The bed is as long as the third voice, and starts again with it.
    assert played == [(0, 0, first), (first + second, first + second - third, 2 * third - first - second)] + [
        (2 * third, 0, first + second - third)
    ]


def test_a_draft_of_capcut_has_everything_in_its_place(project: Project) -> None:
    project.set_cut()
    folder = project.export("capcut")
    draft = json.loads((folder / "draft_content.json").read_text())
    assert (folder / "draft_info.json").read_text() == (folder / "draft_content.json").read_text()
    kinds = [track["type"] for track in draft["tracks"]]
    assert kinds == ["video", "audio", "text"]
    ends = [0, *(sum(FRAMES[: number + 1]) for number in range(3))]
    microseconds = [round(end * 1e6 / 24) for end in ends]
    for track in draft["tracks"][:2]:
        spans = [segment["target_timerange"] for segment in track["segments"]]
        assert [span["start"] for span in spans] == microseconds[:-1]
        assert [span["start"] + span["duration"] for span in spans] == microseconds[1:]
    media = draft["materials"]["videos"] + draft["materials"]["audios"]
    known = {material["id"] for material in media + draft["materials"]["texts"]}
    assert known == {segment["material_id"] for track in draft["tracks"] for segment in track["segments"]}
    for material in media:
        placeholder, _, path = material["path"].partition("/")
        assert placeholder.startswith("##_draftpath_placeholder_") and (folder / path).is_file()
    about = json.loads((folder / "draft_meta_info.json").read_text())
    listed = [entry["file_Path"] for entry in about["draft_materials"][0]["value"]]
    assert listed == [material["path"] for material in media]
