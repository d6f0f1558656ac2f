"""Timelines, read back by OpenTimelineIO and compared with the film frame by frame."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import opentimelineio as otio

from tests.export.conftest import MakeProject
from tests.export.player import black_like, play
from tests.export.projects import FRAMES, SCENES, Project, frames_of

CODEC_LEVELS = 2.0
"""Mean difference in grey levels that encoding held frames again may make."""


def test_otio_shows_the_film_bit_by_bit(project: Project) -> None:
    cut = project.set_cut()
    folder = project.export("otio")
    timeline = otio.adapters.read_from_file(str(folder / "tale.otio"))
    video, voices = timeline.tracks
    assert np.array_equal(play(video, folder), project.film)
    for track in (video, voices):
        assert [int(item.trimmed_range().duration.value) for item in track] == list(FRAMES)
        for item in track:
            url = item.media_reference.target_url
            assert not Path(url).is_absolute() and (folder / unquote(url)).is_file()
    assert [marker.name for marker in timeline.tracks.markers] == [shot.title for shot in cut.shots]
    assert [marker.name for item in voices for marker in item.markers] == ["Said in one.", "Said in two."]
    assert voices[1].markers[0].marked_range.start_time.value == 24 - FRAMES[0]
    assert "Said in\ntwo." in (folder / "tale.en.srt").read_text()


def test_crossfades_are_dissolves_over_held_frames(make_project: MakeProject) -> None:
    project = make_project(join="crossfade")
    folder = project.export("otio")
    video = otio.adapters.read_from_file(str(folder / "tale.otio")).tracks[0]
    dissolves = [item for item in video if isinstance(item, otio.schema.Transition)]
    assert [item.in_offset.value for item in dissolves] == [6, 6]
    film = project.film.astype(float)
    difference = np.abs(play(video, folder) - film).mean(axis=(1, 2))
    assert difference.max() < CODEC_LEVELS


def _with_everything(project: Project) -> None:
    """A cut with a card, a pause, a dip and a crossfade; the file of the film does not show it."""
    shots = [
        {"kind": "card", "title": "A tale", "frames": 12, "clip_frames": 12},
        {"scene": "one", "title": "1", "frames": 26, "clip_frames": 20, "transition": "dip"},
        {"scene": "two", "title": "2", "frames": 17, "clip_frames": 17, "transition": "crossfade"},
        {"scene": "three", "title": "3", "frames": 24, "clip_frames": 24},
    ]
    start = 0
    for shot in shots:
        shot["start"] = start
        if "transition" in shot:
            shot |= {"transition_frames": 10, "transition_before": 5}
        start += int(shot["frames"])
    project.set_cut(shots=shots, frames=start)
    project.change(lambda manifest: manifest.film.settings.update(fade_seconds=0.25))


def test_pauses_dips_cards_and_fades_look_as_in_the_film(project: Project) -> None:
    _with_everything(project)
    folder = project.export("otio")
    timeline = otio.adapters.read_from_file(str(folder / "tale.otio"))
    shown = play(timeline.tracks[0], folder)
    assert len(shown) == 79
    one = frames_of(project.folder / "one_video.mp4").astype(float)
    black = black_like(frames_of(folder / "media" / "one_video.mp4")[0])
    assert np.abs(shown[12 + 25 - 5] - one[-1]).mean() < CODEC_LEVELS, "the held pause"
    for number in (0, 37, 38, 78):
        assert np.abs(shown[number] - black).mean() < 12, f"frame {number} is nearly black"
    assert np.abs(shown[33] - black).mean() > 12, "the dip is five frames long on each side"
    starts = [timeline.tracks[1].range_of_child_at_index(i).start_time.value for i in (1, 3, 4)]
    assert starts == [12, 38, 55]


def test_one_file_of_otio_is_an_otioz(project: Project, tmp_path: Path) -> None:
    folder = project.export("otio", "--zip").parent
    first = (folder / "tale.otioz").read_bytes()
    project.export("otio", "--zip", "--force")
    assert (folder / "tale.otioz").read_bytes() == first
    (tmp_path / "there").mkdir()
    otio.adapters.read_from_file(str(folder / "tale.otioz"), extract_to_directory=str(tmp_path / "there"))
    timeline = otio.adapters.read_from_file(str(tmp_path / "there" / "content.otio"))
    assert np.array_equal(play(timeline.tracks[0], tmp_path / "there"), project.film)


def test_fcp7_xml_and_fcpxml_show_the_film_bit_by_bit(project: Project) -> None:
    cut = project.set_cut()
    folder = project.export("fcpxml")
    timeline = otio.adapters.read_from_file(str(folder / "tale.xml"), "fcp_xml")
    film = project.film
    assert np.array_equal(play(timeline.tracks[0], folder), film)
    assert [marker.name for marker in timeline.tracks.markers] == [shot.title for shot in cut.shots]
    sample = ElementTree.parse(folder / "tale.xml").find(
        ".//sequence/media/video/format/samplecharacteristics"
    )
    assert sample is not None and (sample.findtext("width"), sample.findtext("height")) == ("64", "48")
    assert np.array_equal(_play_fcpxml(folder / "tale.fcpxml"), film)
    root = ElementTree.parse(folder / "tale.fcpxml").getroot()
    assert [marker.get("value") for marker in root.iter("chapter-marker")] == [
        shot.title for shot in cut.shots
    ]
    assert [caption.findtext("text") for caption in root.iter("caption")] == ["Said in one.", "Said in\ntwo."]


def _play_fcpxml(path: Path) -> np.ndarray:
    root = ElementTree.parse(path).getroot()
    files = {asset.get("id"): asset[0].get("src", "") for asset in root.iter("asset")}
    frames = []
    for clip in root.iterfind(".//spine/asset-clip"):
        start, length, offset = (_frames(clip.get(name, "")) for name in ("start", "duration", "offset"))
        assert offset == len(frames)
        frames += list(frames_of(path.parent / unquote(files[clip.get("ref")]))[start : start + length])
        for voice in clip.iterfind("asset-clip"):
            assert (_frames(voice.get("offset", "")), voice.get("lane")) == (start, "-1")
            assert (path.parent / unquote(files[voice.get("ref")])).is_file()
    return np.stack(frames)


def _frames(seconds: str) -> int:
    """Frames of 1/24 s."""
    whole, _, part = seconds.removesuffix("s").partition("/")
    return int(whole) * 24 // int(part or 1)


def test_everything_in_fcpxml_lies_on_the_timeline(project: Project) -> None:
    _with_everything(project)
    folder = project.export("fcpxml")
    spine = ElementTree.parse(folder / "tale.fcpxml").find(".//spine")
    assert spine is not None
    position, transitions = 0, []
    for item in spine:
        offset, frames = (_frames(item.get(name, "")) for name in ("offset", "duration"))
        if item.tag == "transition":
            transitions.append((offset, frames))
        else:
            assert offset == position
            position += frames
    assert position == 79
    assert transitions == [(0, 6), (33, 5), (38, 5), (50, 10), (73, 6)]
    timeline = otio.adapters.read_from_file(str(folder / "tale.xml"), "fcp_xml")
    video = timeline.tracks[0]
    assert video.trimmed_range().duration.value == 79
    clips = [item for item in video if isinstance(item, otio.schema.Clip)]
    assert [video.range_of_child(clip).start_time.value for clip in clips] == [0, 12, 38, 55]


def test_edl_shows_the_film_bit_by_bit(project: Project) -> None:
    project.set_cut()
    folder = project.export("edl")
    text = (folder / "tale.edl").read_text()
    timeline = otio.adapters.read_from_string(text, "cmx_3600", rate=24)
    frames = []
    for clip in timeline.tracks[0]:
        span = clip.source_range
        start, length = int(span.start_time.value), int(span.duration.value)
        frames += list(frames_of(folder / "media" / clip.name)[start : start + length])
    assert np.array_equal(np.stack(frames), project.film)
    reels = [line.split()[1] for line in text.splitlines() if line[:3].isdigit()]
    assert len(set(reels)) == len(SCENES)


def test_dissolves_of_an_edl_are_read_back(make_project: MakeProject) -> None:
    project = make_project(join="crossfade")
    folder = project.export("edl")
    timeline = otio.adapters.read_from_file(str(folder / "tale.edl"), rate=24)
    assert timeline.tracks[0].trimmed_range().duration.value == sum(FRAMES)
    assert sum(isinstance(item, otio.schema.Transition) for item in timeline.tracks[0]) == 2
