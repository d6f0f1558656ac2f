"""The sound of a film: one loudness, peaks that hold, room tone, music, and everything at its sample."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from story_studio.media.encoder import SAMPLE_RATE
from story_studio.media.music import Bed, checked
from story_studio.media.sound import AudioTrack, Music, Sound, SoundReport, Voice, mix
from story_studio.signal.loudness import measure

S = SAMPLE_RATE
FADE = round(0.004 * S)


def stereo(audio: np.ndarray) -> np.ndarray:
    return np.repeat(audio[None], 2, axis=0).astype(np.float32)


def noise(seconds: float, level: float, channels: int = 2, seed: int = 1) -> np.ndarray:
    """White noise at a level in dBFS RMS."""
    samples = np.random.default_rng(seed).standard_normal((channels, round(seconds * S)))
    return (samples * 10 ** (level / 20)).astype(np.float32)


def speech(seconds: float = 2.0, gain: float = 0.0, floor: float | None = None) -> np.ndarray:
    """A pitch with overtones in syllables, with pauses, over the noise of a room."""
    time = np.arange(round(seconds * S)) / S
    tone = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) * (np.sin(2 * np.pi * 0.6 * time) > -0.3)
    audio = stereo(0.1 * tone * syllables * 10 ** (gain / 20))
    return audio if floor is None else audio + np.repeat(noise(seconds, floor, 1), 2, axis=0)


def _reading(audio: np.ndarray) -> Callable[[int, int], np.ndarray]:
    return lambda start, end: audio[:, start:end]


def voice(start: int, audio: np.ndarray, samples: int | None = None, music: bool = True) -> Voice:
    return Voice(start, audio.shape[1] if samples is None else samples, _reading(audio), music)


Mixed = Callable[..., tuple[SoundReport, np.ndarray]]


@pytest.fixture
def mixed(tmp_path: Path) -> Mixed:
    """The report and the track of a mix, after which nothing else is left on disk."""

    def run(voices: list[Voice], samples: int, sound: Sound) -> tuple[SoundReport, np.ndarray]:
        path = tmp_path / "sound"
        report = mix(voices, samples, sound, path)
        assert [path] == list(tmp_path.iterdir())
        assert path.stat().st_size == samples * 8
        track = AudioTrack(path).read(0, samples)
        assert np.isfinite(track).all()
        json.dumps(report.json(), allow_nan=False)
        return report, track

    return run


def decibels(audio: np.ndarray) -> float:
    """The level in dBFS RMS."""
    return 10 * float(np.log10(np.square(audio, dtype=np.float64).mean() + 1e-12))


def through_aac(audio: np.ndarray, path: Path) -> np.ndarray:
    """Audio as a film has it."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=S, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", "stereo")
        frame.sample_rate = S
        file.mux([*stream.encode(frame), *stream.encode(None)])
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)


def test_by_default_voices_keep_their_samples(mixed):
    first, last = speech(1), speech(1.5, -8)
    samples = len(first[0]) + 2 * S
    report, track = mixed([voice(0, first), voice(samples - len(last[0]), last)], samples, Sound())
    # Only where a voice meets another shot it fades for 4 ms.
    assert (track[:, : len(first[0]) - FADE] == first[:, :-FADE]).all()
    assert (track[:, samples - len(last[0]) + FADE :] == last[:, FADE:]).all()
    assert not track[:, len(first[0]) : samples - len(last[0])].any()
    assert (report.mode, report.target) == ("as recorded", None)
    assert report.loudness == pytest.approx(measure(track).integrated)


@pytest.mark.parametrize("target", [-14, -16])
def test_voices_of_any_microphone_get_one_loudness(target, mixed):
    left = np.array([[1], [0]], np.float32)
    recordings = [
        speech(),
        speech(gain=-18),
        np.clip(speech(gain=12), -1, 1),
        speech(gain=-6) * left,
        speech(floor=-55) + np.float32(0.2),
        speech(0.4, gain=-10),
    ]
    starts = np.cumsum([0, *(len(audio[0]) + S // 2 for audio in recordings)])
    spans = [voice(int(at), audio) for at, audio in zip(starts, recordings, strict=False)]
    report, track = mixed(spans, int(starts[-1]), Sound(target))
    after = [measure(track[:, v.start : v.start + v.samples]).integrated or 0 for v in spans]
    before = [value or 0 for value in report.voices]
    assert max(before) - min(before) > 20
    assert max(after) - min(after) < 1
    assert report.loudness == pytest.approx(target, abs=0.2)
    assert report.loudness == pytest.approx(measure(track).integrated)
    assert report.target == target


def test_peaks_hold_after_encoding(mixed, tmp_path):
    audio = speech(4, gain=-10)
    for at in range(S // 2, 4 * S - 100, S // 2):
        audio[:, at : at + 100] += noise(100 / S, -14)
    report, track = mixed([voice(0, audio)], 4 * S, Sound(-14))
    assert report.mode == "dynamic"
    assert report.loudness == pytest.approx(-14, abs=0.3)
    assert report.true_peak is not None and report.true_peak <= -1
    decoded = measure(through_aac(track, tmp_path / "film.mp4"), peaks=True)
    assert decoded.true_peak is not None and decoded.true_peak <= -1


def test_what_needs_no_limiter_is_only_raised(mixed):
    audio = speech(3, gain=-10)
    report, track = mixed([voice(0, audio)], 3 * S, Sound(-20))
    assert report.mode == "linear"
    gain = np.vdot(track, audio) / np.vdot(audio, audio)
    np.testing.assert_allclose(track, audio * gain, atol=1e-5)


def test_a_limited_voice_keeps_the_samples_that_are_far_from_peaks(mixed):
    audio = speech(3, gain=-20)
    audio[:, S : S + 4] = 0.9
    report, track = mixed([voice(0, audio)], 3 * S, Sound(-16))
    assert report.mode == "dynamic"
    quiet = slice(round(1.1 * S), None)
    gain = np.vdot(track[:, quiet], audio[:, quiet]) / np.vdot(audio[:, quiet], audio[:, quiet])
    np.testing.assert_allclose(track[:, quiet], audio[:, quiet] * gain, atol=1e-5)
    assert np.abs(track[:, S : S + 4]).max() < 0.9 < 0.9 * gain


@pytest.mark.parametrize(
    "sound", [Sound(), Sound(-16), Sound(-14, True, Music(noise(2, -20), S)), Sound(None, True)]
)
def test_a_voice_starts_at_its_sample(sound, mixed):
    audio = speech(2, gain=-12)
    audio[:, S // 2 - 2000 : S // 2 + 2000] = 0
    audio[:, S // 2] = 0.99
    spans = [voice(777, audio), voice(777 + 2 * S + 12_345, audio)]
    _, track = mixed(spans, 7 * S, sound)
    for span in spans:
        impulse = span.start + S // 2
        assert np.abs(track[0, impulse - 1000 : impulse + 1000]).argmax() == 1000


@pytest.mark.parametrize("level", [-40, -60])
def test_noise_and_silence_are_not_raised(level, mixed):
    silence = np.zeros((2, S), np.float32)
    _, track = mixed([voice(0, noise(2, level)), voice(2 * S, silence)], 3 * S, Sound(-14))
    assert decibels(track[:, FADE : 2 * S - FADE]) == pytest.approx(level, abs=0.1)
    assert not track[:, 2 * S :].any()


def test_no_voice_is_raised_by_more_than_30_db(mixed):
    report, track = mixed([voice(0, speech(3, -28, floor=-95))], 3 * S, Sound(-10))
    assert report.voices[0] is not None and report.voices[0] < -45
    # 30 dB for the voice and 6 for the film.
    assert report.loudness == pytest.approx(report.voices[0] + 36, abs=0.5)


def test_room_tone_is_like_the_rooms_on_both_sides(mixed):
    left, loud, soft = np.array([[1], [0.5]], np.float32), speech(3, floor=-50), speech(3, floor=-62)
    spans = [voice(S, loud * left), voice(6 * S, soft), voice(9 * S, loud)]
    _, track = mixed(spans, 13 * S, Sound(None, True))
    assert decibels(track[0, S // 2 : S - FADE]) == pytest.approx(-50, abs=1)
    assert decibels(track[1, S // 2 : S - FADE]) == pytest.approx(-56, abs=1)
    assert decibels(track[0, 4 * S : 4 * S + 2000]) == pytest.approx(-50, abs=1.5)
    assert decibels(track[:, 6 * S - 2000 : 6 * S]) == pytest.approx(-62, abs=1.5)
    assert decibels(track[:, 12 * S : 13 * S - S // 2]) == pytest.approx(-50, abs=1)
    # Where two voices meet, the room goes on.
    assert decibels(track[:, 9 * S + 20 : 9 * S + FADE]) > -54


def test_room_tone_begins_where_the_voice_ends_not_its_clip(mixed):
    clip = np.pad(speech(3, floor=-50), ((0, 0), (9600, 9600)))
    _, track = mixed([voice(0, clip), voice(clip.shape[1] + S, clip)], 3 * clip.shape[1], Sound(None, True))
    end = clip.shape[1] - 9600
    for at in (end + FADE, end + 2000, clip.shape[1] + S + 4000):
        assert decibels(track[:, at : at + 1500]) == pytest.approx(-50, abs=1.5)


def test_without_a_room_there_is_soft_noise_and_no_click(mixed):
    _, track = mixed([voice(S, speech(2))], 5 * S, Sound(None, True))
    assert -64 < decibels(track[:, 4 * S : 5 * S - S // 2]) < -55
    assert decibels(track[:, :200]) < -70
    joints = np.abs(np.diff(track[:, 3 * S - 10 : 3 * S + S // 2], axis=1)).max()
    assert joints < 0.01


def test_music_is_ducked_under_a_voice_and_returns(mixed):
    spoken = speech(3)
    loudness = measure(spoken).integrated or 0
    music = Music(noise(2.5, -35), S, level=-18, fade_seconds=1)
    _, track = mixed([voice(4 * S, spoken)], 11 * S, Sound(music=music))
    _, alone = mixed([voice(4 * S, spoken)], 11 * S, Sound())
    bed = track - alone
    windows = {at: bed[:, round(at * S) :][:, : S // 5] for at in (2, 4.3, 8.2)}
    levels = {at: measure(np.tile(window, 3)).integrated or -99 for at, window in windows.items()}
    assert levels[2] == pytest.approx(loudness - 18, abs=0.5)
    assert -14 < levels[4.3] - levels[2] < -6
    assert levels[8.2] == pytest.approx(levels[2], abs=0.5)
    assert decibels(bed[:, :200]) < -80 and decibels(bed[:, -200:]) < -80


def test_loudness_of_the_file_does_not_matter_to_music(mixed):
    files = [Music(noise(2, level, 1), 22_050) for level in (-60, -3)]
    beds = [mixed([], 4 * S, Sound(-20, music=music))[1] for music in files]
    np.testing.assert_allclose(beds[0], beds[1], atol=1e-4)
    assert measure(beds[0]).integrated == pytest.approx(-20, abs=0.2)


def test_music_pauses_for_voices_without_it(mixed):
    silent = np.zeros((2, 2 * S), np.float32)
    spans = [voice(2 * S, silent, music=False), voice(6 * S, silent, music=False)]
    _, bed = mixed(spans, 11 * S, Sound(music=Music(noise(2, -20), S, fade_seconds=0)))
    assert decibels(bed[:, S : S + 4000]) > -30
    # It does not return between two such voices for two seconds.
    assert not bed[:, 2 * S + 1 : 8 * S - 1].any()
    steps = [decibels(bed[:, 2 * S - at : 2 * S - at + 2400]) for at in (24_000, 16_000, 8_000, 2_400)]
    assert steps == sorted(steps, reverse=True) and steps[0] - steps[-1] > 20
    assert decibels(bed[:, 9 * S : 10 * S]) > -30


def test_a_loop_has_no_seam(tmp_path):
    tone = stereo(0.3 * np.sin(2 * np.pi * 440.3 * np.arange(round(2.3 * S)) / S))
    bed = Bed(Music(np.pad(tone, ((0, 0), (S, S))), S), tmp_path / "music", -20)
    track = bed.read(0, 12 * S)
    # A click is a second difference that the tone itself has not.
    curvature = np.abs(np.diff(track, n=2, axis=1)).max(axis=0)
    assert curvature[1000:].max() < 1.5 * np.median(np.sort(curvature)[-S:])
    assert min(decibels(track[:, at : at + 4800]) for at in range(0, 11 * S, 4800)) > -40
    np.testing.assert_array_equal(bed.read(5 * S, 9 * S), track[:, 5 * S : 9 * S])


def test_a_mix_as_recorded_does_not_clip(mixed):
    report, track = mixed([voice(0, speech(2, 17))], 4 * S, Sound(music=Music(noise(2, -10), S, 0)))
    assert report.true_peak is not None and report.true_peak < 0.3
    assert report.mode == "dynamic"


EMPTY, NAN = np.zeros((2, 0), np.float32), np.full((2, S), np.nan, np.float32)


@pytest.mark.parametrize("sound", [Sound(), Sound(-16, True, Music(noise(1, -20), S))])
@pytest.mark.parametrize(
    ("audio", "samples", "length"),
    [
        (None, 0, 0),
        (None, 0, S),
        (EMPTY, 0, S),
        (EMPTY, S, S),
        (np.ones((2, 1), np.float32), 1, 1),
        (np.ones((2, 1), np.float32), 1, S),
        (NAN, S, S),
        (speech(2), S, S + 5),
        (speech(1, 60), S, S),
    ],
    ids=["no film", "no voice", "empty", "missing", "one sample", "a click", "nan", "too long", "too loud"],
)
def test_what_cannot_be_heard_or_measured(audio, samples, length, sound, mixed):
    spans = [] if audio is None else [voice(0, audio, samples)]
    report, track = mixed(spans, length, sound)
    assert len(report.voices) == len(spans)
    if sound.loudness is not None:
        assert np.abs(track).max(initial=0) < 1


@pytest.mark.parametrize("waveform", [NAN, np.zeros((1, S), np.float32), noise(0.01, -20), EMPTY])
def test_music_without_sound_leaves_the_voices(waveform, mixed):
    spans, sound = [voice(S, speech(1))], Sound(-16, music=Music(waveform, S))
    np.testing.assert_allclose(mixed(spans, 3 * S, sound)[1], mixed(spans, 3 * S, Sound(-16))[1], atol=1e-6)


@pytest.mark.parametrize(("channels", "rate"), [(1, 8_000), (2, 44_100), (6, 48_000), (12, 96_000)])
def test_music_of_any_format(channels, rate, mixed):
    report, _ = mixed([], 3 * S, Sound(-16, music=Music(noise(2, -30, channels), rate)))
    assert report.loudness == pytest.approx(-16, abs=0.2)


def test_music_is_checked_when_it_is_linked():
    samples, warnings = checked(noise(2, -20)[None], S)
    assert samples.shape == (2, 2 * S) and not warnings
    with pytest.raises(ValueError, match="0.010 s: link at least a second"):
        checked(noise(0.01, -20)[None], S)
    with pytest.raises(ValueError, match="lasts 0.000 s"):
        checked(EMPTY[None], S)
    with pytest.raises(ValueError, match="not numbers"):
        checked(NAN[None], S)
    damaged = np.tile(noise(2, -20), (2, 1, 1))
    damaged[0, :, :4800] = np.inf
    samples, warnings = checked(damaged, S)
    assert np.isfinite(samples).all()
    assert ["first of 2" in warnings[0], "0.100 s" in warnings[1]] == [True, True]
    assert "silent" in checked(np.zeros((1, 1, S), np.float32), S)[1][0]


@pytest.mark.parametrize(
    ("spans", "sound", "message"),
    [
        ([(0, 10), (5, 10)], Sound(), "Voice 2 is at samples 5 to 15, but only 10 to 100"),
        ([(95, 10)], Sound(), "Voice 1 is at samples 95 to 105"),
        ([(-1, 10)], Sound(), "Voice 1"),
        ([], Sound(-9), "-30 to -10 LUFS, not -9"),
        ([], Sound(float("nan")), "not nan"),
    ],
)
def test_what_is_not_possible_is_refused(spans, sound, message, tmp_path):
    voices = [Voice(start, samples, _reading(EMPTY)) for start, samples in spans]
    with pytest.raises(ValueError, match=message):
        mix(voices, 100, sound, tmp_path / "sound")
    assert not list(tmp_path.iterdir())


class Stopped(Exception):
    """What a progress callback raises when the user has interrupted."""


@pytest.mark.parametrize("at", [0, 0.3, 0.5, 0.8, 1])
def test_a_cancelled_mix_leaves_nothing(at, tmp_path):
    path = tmp_path / "sound"
    path.write_bytes(b"before")

    def stop(done: float) -> None:
        if done >= at:
            raise Stopped

    with pytest.raises(Stopped):
        mix([voice(0, speech(1))], 3 * S, Sound(-14, True, Music(noise(1, -20), S)), path, stop)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_progress_never_falls(tmp_path):
    seen: list[float] = []
    spans = [voice(0, speech(1)), voice(2 * S, speech(1))]
    mix(spans, 5 * S, Sound(-14, True, Music(noise(1, -20), S)), tmp_path / "sound", seen.append)
    assert seen == sorted(seen) and seen[-1] == 1 and len(seen) > 10


def test_memory_does_not_grow_with_the_film(tmp_path):
    audio, sound = speech(), Sound(-20, True, Music(noise(2, -20), S))

    def peak(voices: int) -> int:
        spans = [voice(number * 3 * S, audio) for number in range(voices)]
        tracemalloc.start()
        try:
            mix(spans, voices * 3 * S, sound, tmp_path / "sound")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(9) - peak(3) < 6 * 3 * S * 8 / 10


def test_the_key_has_all_that_changes_the_sound():
    music = noise(1, -20)
    sounds = [
        Sound(),
        Sound(-16),
        Sound(-14),
        Sound(room_tone=True),
        Sound(music=Music(music, S)),
        Sound(music=Music(music[:1], S)),
        Sound(music=Music(music * 2, S)),
        Sound(music=Music(music, 44_100)),
        Sound(music=Music(music, S, level=-12)),
        Sound(music=Music(music, S, fade_seconds=1)),
        Sound(music=Music(music, S, duck=False)),
    ]
    parts = [json.dumps(sound.parts()) for sound in sounds]
    assert len(set(parts)) == len(parts)
    assert json.dumps(Sound(music=Music(music.copy(), S)).parts()) == parts[4]
