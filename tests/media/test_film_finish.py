"""What finishes a film: pauses, transitions, cards, fades, delivery, sound and captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from story_studio.media import encoder
from story_studio.media.burned import CaptionStyle
from story_studio.media.captions import Word
from story_studio.media.cards.film_cards import Cards
from story_studio.media.delivery import Codec, Delivery
from story_studio.media.film import Finish, Shot, assemble
from story_studio.media.music import Music
from story_studio.media.probe import probe
from story_studio.media.sound import Sound
from tests.media.test_film import COLOURS, audio_of, click_seconds, frames_of, shot


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Shot]:
    folder = tmp_path_factory.mktemp("finish")
    return [shot(folder, 0, 16), shot(folder, 1, 16), shot(folder, 2, 16)]


def changed(clip: Shot, **changes: Any) -> Shot:
    return Shot(**{**clip.__dict__, **changes})


def report_of(path: Path) -> dict[str, Any]:
    return json.loads(probe(path).metadata["story_studio"])


def test_a_pause_holds_the_last_frame_and_is_silent(clips: list[Shot], tmp_path: Path) -> None:
    shots = [changed(clips[0], pause_after=0.25), clips[1], clips[2]]
    assemble(shots, film := tmp_path / "film.mp4", finish=Finish(pause_after=0.5))
    frames, report = frames_of(film), report_of(film)
    assert [part["frames"] for part in report["shots"]] == [20, 24, 16]
    assert [part["clip_frames"] for part in report["shots"]] == [16, 16, 16]
    assert len(frames) == report["frames"] == 60
    assert np.abs(frames[16:20] - frames[15]).max() < 8
    assert np.abs(frames[36:44] - frames[35]).max() < 8
    assert click_seconds(film) == pytest.approx([0.25, 1.5, 3.0], abs=1e-3)
    assert np.abs(audio_of(film)[:, int(1.05 * 48000) : int(1.2 * 48000)]).max() < 1e-3
    assert [chapter[:2] for chapter in probe(film).chapters] == [(0, 1.25), (1.25, 2.75), (2.75, 3.75)]


def test_each_scene_has_its_own_transition(clips: list[Shot], tmp_path: Path) -> None:
    shots = [changed(clips[0], transition="dip"), changed(clips[1], transition="cut"), clips[2]]
    assemble(shots, film := tmp_path / "film.mp4", join="crossfade", crossfade_seconds=0.5)
    frames = frames_of(film)[:, 30, 50]
    assert len(frames) == 48
    # From red to black, and from black to green.
    assert frames[15:17].max() < 50
    assert frames[11] == pytest.approx(COLOURS[0], abs=12) and frames[20] == pytest.approx(COLOURS[1], abs=12)
    assert frames[31] == pytest.approx(COLOURS[1], abs=12) and frames[32] == pytest.approx(COLOURS[2], abs=12)
    parts = report_of(film)["shots"]
    assert [(part["transition"], part["transition_frames"]) for part in parts] == [
        ("dip", 8),
        ("cut", 0),
        ("cut", 0),
    ]


def test_a_crossfade_in_a_pause_touches_no_moving_frame(clips: list[Shot], tmp_path: Path) -> None:
    shots = [changed(clips[0], transition="crossfade", pause_after=0.5), clips[1]]
    assemble(shots, film := tmp_path / "film.mp4", crossfade_seconds=0.5)
    frames, whole = frames_of(film), np.concatenate([frames_of(clip.path) for clip in clips[:2]])
    assert np.abs(frames[:16] - whole[:16]).mean() < 2 and np.abs(frames[24:] - whole[16:]).mean() < 2
    assert frames[20, 30, 50] == pytest.approx(np.mean(COLOURS[:2], axis=0), abs=24)


def test_cards_and_fades(clips: list[Shot], tmp_path: Path) -> None:
    cards = Cards("The Lighthouse", "Voice: Ann\n\nThe End", card_seconds=1, fade_seconds=0.25)
    assemble(clips[:2], film := tmp_path / "film.mp4", finish=Finish(cards=cards))
    report, frames = report_of(film), frames_of(film)
    assert [(part["kind"], part["title"], part["frames"]) for part in report["shots"]] == [
        ("card", "The Lighthouse", 16),
        ("scene", "Scene 1", 16),
        ("scene", "Scene 2", 16),
        ("card", "Credits", 16),
    ]
    assert [part["transition"] for part in report["shots"]] == ["dip", "cut", "dip", "cut"]
    assert [chapter[2] for chapter in probe(film).chapters] == [part["title"] for part in report["shots"]]
    # Light letters on the scene, which is dark behind them.
    assert frames[8].max() > 150 and np.median(frames[8].max(axis=-1)) < 140
    assert frames[0].max() < frames[2].max() < frames[6].max()
    assert frames[-1].max() < 45
    assert click_seconds(film) == pytest.approx([1.25, 2.25], abs=1e-3)


@pytest.mark.parametrize("click", [0.02, 0.95])
def test_a_fade_takes_nothing_from_a_voice(click: float, tmp_path: Path) -> None:
    loud = shot(tmp_path, 0, 16, click=click)
    assemble([loud], film := tmp_path / "film.mp4", finish=Finish(cards=Cards(fade_seconds=0.5)))
    assemble([loud], plain := tmp_path / "plain.mp4")
    loudest = [np.abs(audio_of(each)).max() for each in (film, plain)]
    assert loudest[0] == pytest.approx(loudest[1], rel=0.1) and loudest[1] > 0.5
    # The last frame is held for it.
    assert probe(film).frames == 24 and frames_of(film)[-1].max() < 45


def test_the_sound_fades_with_cards(tmp_path: Path) -> None:
    tone = np.sin(np.arange(96_000, dtype=np.float32) * 2 * np.pi * 480 / 48_000)
    music = Music(0.5 * tone[None], 48_000, 0.0, 0.0, False)
    cards = Cards("Title", "End", card_seconds=1, fade_seconds=0.5)
    finish = Finish(cards=cards, sound=Sound(None, False, music))
    assemble([shot(tmp_path, 0, 16, click=0.5)], film := tmp_path / "film.mp4", finish=finish)
    levels = [np.abs(part).max() for part in np.array_split(audio_of(film)[0][: 3 * 48_000], 60)]
    assert levels[0] < levels[3] < levels[7] and levels[-1] < levels[-4] < levels[-8]


def test_the_delivery_has_its_size_and_rate(clips: list[Shot], tmp_path: Path) -> None:
    finish = Finish(Delivery(96, 128, 24, "blur"))
    assemble(clips[:2], film := tmp_path / "film.mp4", finish=finish)
    info, frame = probe(film), frames_of(film)[12]
    assert (info.width, info.height, info.fps, info.frames) == (96, 128, 24, 48)
    # The clip stands in the middle; above and below it is darker, but not black.
    assert frame[64, 70] == pytest.approx(COLOURS[0], abs=14)
    assert 60 < frame[10, 70, 0] < 0.85 * frame[64, 70, 0]
    assemble(clips[:2], film, finish=Finish(Delivery(96, 128, 24)))
    assert frames_of(film)[12][10, 70].max() < 10


def test_clips_that_are_as_delivered_are_copied(clips: list[Shot], tmp_path: Path) -> None:
    assemble(clips, film := tmp_path / "film.mp4", finish=Finish(Delivery(64, 48)))
    assert np.array_equal(frames_of(film), np.concatenate([frames_of(clip.path) for clip in clips]))


@pytest.mark.parametrize(("codec", "tag"), [("h265", "hvc1"), ("av1", "av01")])
def test_other_codecs(codec: Codec, tag: str, clips: list[Shot], tmp_path: Path) -> None:
    films = [tmp_path / "1.mp4", tmp_path / "2.mp4"]
    for film in films:
        assemble(clips[:2], film, finish=Finish(Delivery(codec=codec)))
    with av.open(str(films[0])) as container:
        assert container.streams.video[0].codec_context.codec_tag == tag
        starts = [
            packet.pts * packet.time_base * 16
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None and packet.time_base
        ]
    # Each shot can be sought to.
    assert {0, 16} <= set(starts)
    whole = np.concatenate([frames_of(clip.path) for clip in clips[:2]])
    assert np.abs(frames_of(films[0]) - whole).mean() < 3
    assert films[0].read_bytes() == films[1].read_bytes()
    assert report_of(films[0])["codec"] == codec


def test_a_missing_encoder_is_named(
    clips: list[Shot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoder._ENCODERS, "av1", "an encoder that was left out")
    with pytest.raises(ValueError, match="no encoder for av1"):
        assemble(clips[:1], tmp_path / "film.mp4", finish=Finish(Delivery(codec="av1")))
    assert not list(tmp_path.iterdir())


def test_sound_is_mixed_and_reported(clips: list[Shot], tmp_path: Path) -> None:
    assemble(clips[:2], film := tmp_path / "film.mp4", finish=Finish(sound=Sound(loudness=-16)))
    report = report_of(film)["sound"]
    assert report["target"] == -16 and report["true_peak"] <= -0.9
    assert len(report["voices"]) == 2
    assert probe(film).audio_seconds == pytest.approx(2, abs=1e-3)


def test_burned_captions_are_in_the_frames_of_their_time(clips: list[Shot], tmp_path: Path) -> None:
    shots = [changed(clips[0], text="Hello."), changed(clips[1], translations=(("de", "Hallo."),))]
    plain, burned, german = (tmp_path / f"{name}.mp4" for name in ("plain", "burned", "german"))
    finish = Finish(Delivery(192, 144), language="en")
    assemble(shots, plain, finish=finish)
    assemble(shots, burned, finish=Finish(Delivery(192, 144), language="en", burned=CaptionStyle(size=0.1)))
    style = CaptionStyle(size=0.1, language="de")
    assemble(shots, german, captions=False, finish=Finish(Delivery(192, 144), burned=style))
    frames = frames_of(plain)
    seen = {film: np.abs(frames_of(film) - frames).max(axis=(1, 2, 3)) > 100 for film in (burned, german)}
    assert seen[burned][4:12].all() and not seen[burned][16:].any()
    assert seen[german][20:28].all() and not seen[german][:16].any()
    assert list(report_of(burned)["captions"]) == ["en", "de"]
    assert probe(german).subtitles == 0


def test_captions_in_two_languages_are_two_tracks(clips: list[Shot], tmp_path: Path) -> None:
    shots = [changed(clips[0], text="Hello."), changed(clips[1], translations=(("de", "Hallo."),))]
    assemble(shots, film := tmp_path / "film.mp4", finish=Finish(language="en"))
    with av.open(str(film)) as container:
        assert [stream.language for stream in container.streams.subtitles] == ["eng", "deu"]


def test_captions_follow_the_times_of_words(clips: list[Shot], tmp_path: Path) -> None:
    words = (Word(0.5, 0.625, "Good"), Word(0.625, 0.75, "day."))
    assemble([clips[0], changed(clips[1], text="Good day.", words=words)], film := tmp_path / "film.mp4")
    ((start, end, text, times),) = report_of(film)["captions"][""]
    assert (start, text) == (1.5, "Good day.") and 1.75 <= end <= 2
    assert times == [[1.5, 1.625, "Good"], [1.625, 1.75, "day."]]
