"""Films of talking clips, clips of one's own, and shots in which nobody speaks."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from story_studio.media.audio_track import AudioTrack
from story_studio.media.canvas import canvas_of
from story_studio.media.captions import Cue
from story_studio.media.clip_writer import ClipWriter
from story_studio.media.decoder import decode_audio
from story_studio.media.film import Finish, Shot, assemble
from story_studio.media.music import Music
from story_studio.media.probe import probe
from story_studio.media.sound import Sound, Voice, mix
from story_studio.signal.loudness import measure
from tests.media.numbered import RATE, click_samples, ffmpeg, numbers, write_numbered
from tests.media.test_canvas import footage
from tests.voices import write_voice


def report(film: Path) -> dict:
    return json.loads(probe(film).metadata["story_studio"])


@pytest.mark.parametrize(
    ("rates", "film"),
    [
        (["16", "24000/1001"], "24000/1001"),
        (["16", "25"], "25"),
        (["30000/1001", "16"], "30000/1001"),
        (["16", "50"], "25"),
        (["60", "16"], "30"),
        (["60000/1001", "25"], "30000/1001"),
        (["120", "24"], "30"),
        (["60", "60"], "60"),
        (["16", "16"], "16"),
    ],
)
def test_the_rate_of_a_film_of_several_rates(rates: list[str], film: str) -> None:
    shots = [footage(64, 64, 9 - index, 1) for index in range(len(rates))]
    shots = [type(shot)(shot.info, Fraction(rate), 64, 64) for shot, rate in zip(shots, rates, strict=True)]
    assert canvas_of(shots).fps == Fraction(film)
    assert canvas_of(shots[::-1]).fps == Fraction(film)


@pytest.mark.parametrize("join", ["cut", "crossfade"])
def test_cuts_are_exact_where_rates_sizes_and_sounds_differ(join: str, tmp_path: Path) -> None:
    rates = (16, Fraction(30000, 1001), 60, 25)
    clicks = ([8_000], [16_000], None, [0, 24_000])
    sizes = ((128, 64), (96, 64), (128, 64), (64, 64))
    paths = [
        write_numbered(tmp_path / f"{i}.mp4", round(fps), fps, click, size=size)
        for i, (fps, click, size) in enumerate(zip(rates, clicks, sizes, strict=True))
    ]
    shots = [Shot(path) for path in paths]
    assemble(shots, film := tmp_path / "film.mp4", join=join, crossfade_seconds=0.2, size=(128, 64))  # pyright: ignore[reportArgumentType]
    cut = report(film)
    assert (cut["width"], cut["height"], Fraction(cut["fps"])) == (128, 64, 30)
    assert [(shot["start"], shot["frames"]) for shot in cut["shots"]] == [
        (0, 30),
        (30, 30),
        (60, 30),
        (90, 30),
    ]
    info = probe(film)
    assert (info.frames, info.audio_seconds) == (120, pytest.approx(4, abs=1e-3))
    heard = click_samples(film)
    assert heard == pytest.approx([8_000, RATE + 16_000, 3 * RATE + 24_000], abs=1) or heard == pytest.approx(
        [8_000, RATE + 16_000, 3 * RATE, 3 * RATE + 24_000], abs=1
    )
    if join == "cut":
        shown = numbers(film)
        assert [shown[at] for at in (0, 29, 60, 89)] == [0, 15, 0, 58]


def test_a_film_whose_clip_starts_late_is_in_sync(tmp_path: Path) -> None:
    plain = write_numbered(tmp_path / "plain.mp4", 25, 25, [12_000])
    ffmpeg("-i", plain, "-c", "copy", late := tmp_path / "late.ts")
    assemble([Shot(late), Shot(plain)], film := tmp_path / "film.mp4")
    assert numbers(film) == [*range(25), *range(25)]
    assert click_samples(film) == pytest.approx([12_000, 60_000], abs=1)


def test_chapters_of_several_shots(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "shot.mp4", 8, 16, None)
    flags = (False, True, False, False, True)
    shots = [Shot(path, f"Part {number}", chapter=flag) for number, flag in enumerate(flags)]
    assemble(shots, film := tmp_path / "film.mp4")
    chapters = probe(film).chapters
    assert [title for *_, title in chapters] == ["Part 0", "Part 1", "Part 4"]
    assert [start for start, *_ in chapters] == pytest.approx([0, 0.5, 2.0], abs=1e-3)
    assert chapters[-1][1] == pytest.approx(2.5, abs=1e-3)
    # What is as ever is not stated, so that films of earlier versions keep their bytes.
    assert [shot.get("chapter") for shot in report(film)["shots"]] == [None, None, False, False, None]


def test_a_text_in_silence_is_shown_over_the_whole_shot(tmp_path: Path) -> None:
    frames = np.zeros((48, 64, 64, 3), np.uint8)
    with ClipWriter(silent := tmp_path / "silent.mp4", 64, 64, np.zeros((1, 48_000 * 3)), RATE) as writer:
        writer.write(frames)
    without = write_numbered(tmp_path / "without.mp4", 48, 16, None)
    text = "Nobody speaks. Only the sea."
    shots = [Shot(silent, text=text), Shot(without, text=text)]
    assemble(shots, film := tmp_path / "film.mp4")
    cues = [Cue(*cue[:3]) for cue in report(film)["captions"][""]]
    for start in (0, 3):
        shown = [cue for cue in cues if start <= cue.start < start + 3]
        assert (shown[0].start, shown[-1].end) == pytest.approx((start, start + 3), abs=0.05)
        assert " ".join(cue.text for cue in shown).split() == text.split()


def voice(tmp_path: Path, seconds: float, gain: float = 1.0) -> np.ndarray:
    return decode_audio(write_voice(tmp_path / "voice.wav", seconds)) * np.float32(gain)


def laid(start: float, audio: np.ndarray, **more) -> Voice:
    return Voice(round(start * RATE), audio.shape[1], lambda a, b: audio[:, a:b], **more)


def test_silent_shots_do_not_count_in_the_loudness(tmp_path: Path) -> None:
    speech, silence = voice(tmp_path, 3, 0.1), np.zeros((2, 6 * RATE), np.float32)
    shots = [laid(0, silence), laid(6, speech), laid(9, silence)]
    result = mix(shots, 15 * RATE, Sound(loudness=-18), tmp_path / "mixed")
    assert result.voices[0] is None and result.voices[2] is None
    track = AudioTrack(tmp_path / "mixed")
    assert measure(track.read(6 * RATE, 9 * RATE)).integrated == pytest.approx(-18, abs=0.5)
    assert np.abs(track.read(0, 6 * RATE - 1000)).max() == 0


@pytest.mark.parametrize("is_ambient", [True, False])
def test_what_a_camera_heard_is_not_raised_and_does_not_duck_the_music(
    is_ambient: bool, tmp_path: Path
) -> None:
    speech = voice(tmp_path, 3)
    waves = voice(tmp_path, 3, 0.1)
    before = measure(waves).integrated
    assert before is not None
    tone = np.sin(np.arange(10 * RATE, dtype=np.float32) * 2 * np.pi * 997 / RATE)[None] * 0.3
    shots = [laid(0, speech), laid(4, waves, is_ambient=is_ambient)]
    alone = mix(shots, 7 * RATE, Sound(loudness=-18), tmp_path / "alone")
    level = measure(AudioTrack(tmp_path / "alone").read(4 * RATE, 7 * RATE)).integrated
    # A voice is raised to the loudness of the others.
    assert level == pytest.approx(before if is_ambient else -18, abs=1.5)
    assert (alone.voices[1] is None) == is_ambient
    music = Music(tone, RATE, level=-12, fade_seconds=0)
    mix(shots, 7 * RATE, Sound(loudness=-18, music=music), tmp_path / "mixed")
    mixed = AudioTrack(tmp_path / "mixed")

    def bed(start: float, end: float) -> float:
        """The level of the tone, in dB."""
        block = mixed.read(round(start * RATE), round(end * RATE)).mean(axis=0)
        phase = np.exp(-2j * np.pi * 997 * np.arange(len(block)) / RATE)
        return float(20 * np.log10(np.abs((block * phase).mean()) + 1e-9))

    ducked = bed(3.6, 3.9) - bed(4.6, 6.8)
    assert ducked < 1.5 if is_ambient else ducked > 4


def test_the_film_hands_on_what_is_ambient(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32) * 0.003
    noise *= 1 + np.sin(np.arange(2 * RATE) / 6000)[None] * 0.9
    with ClipWriter(path := tmp_path / "waves.mp4", 64, 64, noise, RATE) as writer:
        writer.write(np.zeros((32, 64, 64, 3), np.uint8))
    loud = []
    for is_ambient in (True, False):
        shots = [Shot(path, is_ambient=is_ambient)]
        assemble(shots, film := tmp_path / "film.mp4", finish=Finish(sound=Sound(loudness=-18)))
        loud.append(measure(decode_audio(film)).integrated)
    assert loud[0] is not None and loud[1] is not None and loud[1] - loud[0] > 10
