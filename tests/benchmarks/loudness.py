"""`python -m tests.benchmarks loudness`: ten recordings of different microphones, made one film.

Its voices are the demo's, as ten people would send them: too soft, too loud, clipped, noisy, in one channel,
in opposite phase, at 8 to 96 kHz. The film is encoded as AAC, as films are, and measured after decoding.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soxr

from driver.paths import ROOT
from story_studio.media.decoder import decode_audio
from story_studio.media.encoder import SAMPLE_RATE
from story_studio.media.sound import AudioTrack, Music, Sound, SoundReport, Voice, mix
from story_studio.signal.loudness import measure

from .table import Cell, Progress, Report, Section

DEMO = ROOT / "workflows" / "demo" / "voices"
PAUSE = SAMPLE_RATE
CHILD = """
import sys
from tests.benchmarks.loudness import long_film
def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
long_film(float(sys.argv[1]), sys.argv[2])
print(status("VmHWM") - before)
"""


def run(quick: bool) -> Report:
    """Levels ten recordings to -14 and -16 LUFS, encodes them, and measures long films."""
    progress = Progress()
    voices = recordings()
    reports: dict[int, SoundReport] = {}
    films, after = [], {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for target in (-14, -16):
            progress(f"Ten recordings to {target} LUFS")
            reports[target], after[target], row = _film(voices, target, folder)
            films.append(row)
        rows = [
            {"recording": what, "before": before, **{f"after, {t}": after[t][index] for t in after}}
            for index, (what, before) in enumerate(zip(voices, reports[-16].voices, strict=True))
        ]
        progress("Ducking")
        ducking = _ducking(folder)
        lengths = []
        for minutes in (1, 2) if quick else (1, 10):
            progress(f"A film of {minutes} min")
            lengths.append(_long(minutes, folder))
    return Report(
        "The loudness of a film whose voices were recorded by ten microphones",
        [
            Section("Voices, LUFS", rows),
            Section("Films", films),
            Section("Music under a voice, dB relative to the voice", ducking),
            Section("Length", lengths),
        ],
        [
            "Voices: integrated loudness by EBU R128. decoded: from AAC at 192 kb/s. Peaks are in dBTP.",
            "Music: steady noise at -18 dB, ducked, in windows of 50 ms around a voice of 3 s.",
            "Length: voices, room tone and ducked music at -16 LUFS; memory at its peak, beyond imports.",
        ],
    )


def recordings() -> dict[str, np.ndarray]:
    """Ten recordings, float32 [2, samples] at 48 kHz, by what is wrong with them."""
    keeper, morning, sailor = (decode_audio(DEMO / f"{name}.mp3") for name in ("keeper", "morning", "sailor"))
    return {
        "as it was": keeper,
        "16 kHz, 18 dB softer": _resampled(_gained(morning, -18), 16_000),
        "9 dB louder, clipped": np.clip(_gained(sailor, 9), -1, 1),
        "telephone, 8 kHz": _resampled(_gained(keeper, -6), 8_000),
        "96 kHz, hiss at -50 dBFS": _resampled(_noisy(morning, -50), 96_000),
        "left channel only, 10 dB softer": _gained(sailor, -10) * np.array([[1], [0]], np.float32),
        "opposite phase, 10 dB softer": _gained(keeper, -10) * np.array([[1], [-1]], np.float32),
        "hum at -45 dBFS": morning + _hum(morning.shape[1], -45),
        "30 dB softer, hiss at -75 dBFS": _noisy(_gained(sailor, -30), -75),
        "one word, 15 dB softer": _gained(keeper, -15)[:, 24_000:40_000],
    }


def _gained(audio: np.ndarray, gain: float) -> np.ndarray:
    return audio * np.float32(10 ** (gain / 20))


def _noisy(audio: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal((1, audio.shape[1]), np.float32)
    return audio + _gained(noise, level)


def _hum(samples: int, level: float) -> np.ndarray:
    tone = np.sin(2 * np.pi * 50 * np.arange(samples, dtype=np.float32) / SAMPLE_RATE)
    return _gained(tone, level + 3)


def _resampled(audio: np.ndarray, rate: int) -> np.ndarray:
    lower = soxr.resample(audio.T, SAMPLE_RATE, rate)
    return np.ascontiguousarray(soxr.resample(lower, rate, SAMPLE_RATE).T)


def _film(
    voices: dict[str, np.ndarray], target: float, folder: Path
) -> tuple[SoundReport, list[float | None], dict[str, Cell]]:
    """The report, the loudness of each voice in the film, and what was measured of it decoded from AAC."""
    spans, at = [], 0
    for audio in voices.values():
        spans.append(Voice(at, audio.shape[1], lambda start, end, audio=audio: audio[:, start:end]))
        at += audio.shape[1] + PAUSE
    began = time.monotonic()
    report = mix(spans, at, Sound(loudness=target), folder / "film")
    seconds = time.monotonic() - began
    track = AudioTrack(folder / "film")
    finished = track.read(0, track.samples)
    after = [measure(finished[:, v.start : v.start + v.samples]).integrated for v in spans]
    decoded = measure(through_aac(finished, folder / "film.mp4"), peaks=True)
    row: dict[str, Cell] = {"target": target, "LUFS": report.loudness, "true peak": report.true_peak}
    row |= {"mode": report.mode, "range, LU": report.range, "decoded LUFS": decoded.integrated}
    return report, after, row | {"decoded peak": decoded.true_peak, "s": seconds, "film, s": at / SAMPLE_RATE}


def through_aac(audio: np.ndarray, path: Path) -> np.ndarray:
    """Audio, float32 [2, samples], as a film has it after it was encoded and decoded."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", "stereo")
        frame.sample_rate = SAMPLE_RATE
        for part in (frame, None):
            file.mux(stream.encode(part))
    with av.open(str(path)) as file:
        blocks = [frame.to_ndarray() for frame in file.decode(audio=0)]
    return np.concatenate(blocks, axis=1)


def _ducking(folder: Path) -> list[dict[str, Cell]]:
    """How loud the music is before, in and after a voice."""
    voice = decode_audio(DEMO / "keeper.mp3")[:, : 3 * SAMPLE_RATE]
    noise = 0.1 * np.random.default_rng(1).standard_normal((2, 60 * SAMPLE_RATE), np.float32)
    start, samples = 4 * SAMPLE_RATE, 11 * SAMPLE_RATE
    spoken = [Voice(start, voice.shape[1], lambda start, end: voice[:, start:end])]
    tracks = []
    for music in (Music(noise, SAMPLE_RATE, -18, 1), None):
        mix(spoken, samples, Sound(music=music), folder / "duck")
        tracks.append(AudioTrack(folder / "duck").read(0, samples))
    bed, reference = tracks[0] - tracks[1], measure(voice).integrated or 0.0
    window = SAMPLE_RATE // 20
    moments = {"2 s before": -2, "0.1 s before": -0.1, "at its start": 0}
    moments |= {f"{at} s in it": at for at in (0.1, 0.2, 0.5, 1, 1.5, 2, 2.5)}
    moments |= {f"{at} s after": 3 + at for at in (0, 0.2, 0.4, 0.8, 1.6)}
    rows: list[dict[str, Cell]] = []
    for what, seconds in moments.items():
        at = start + round(seconds * SAMPLE_RATE)
        part = np.tile(bed[:, at : at + window], 12)
        rows.append({"moment": what, "dB": (measure(part).integrated or -99.0) - reference})
    return rows


def long_film(minutes: float, folder: str) -> None:
    """Mixes a film of many voices that are read when they are needed."""
    voice = decode_audio(DEMO / "keeper.mp3")
    span, samples = voice.shape[1] + PAUSE, round(minutes * 60 * SAMPLE_RATE)
    spoken = [
        Voice(at, voice.shape[1], lambda start, end: voice[:, start:end])
        for at in range(0, samples - span, span)
    ]
    noise = 0.1 * np.random.default_rng(1).standard_normal((2, 30 * SAMPLE_RATE), np.float32)
    mix(spoken, samples, Sound(-16, True, Music(noise, SAMPLE_RATE)), Path(folder, "long"))


def _long(minutes: float, folder: Path) -> dict[str, Cell]:
    began = time.monotonic()
    command = [sys.executable, "-c", CHILD, str(minutes), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {"minutes": minutes, "s": time.monotonic() - began, "memory, MB": float(done.stdout)}
