"""Recordings as people bring them: what the door makes of each kind, and that ComfyUI's own loader takes it.

Each test makes its recordings from a synthetic voice of three seconds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.rendering.loading import read
from tests.rendering.recording_files import RATE, SECONDS, Maker, likeness

GOOD: dict[str, Callable[[Maker], Path]] = {
    "16 bits": lambda make: make.voice,
    "24 bits": lambda make: make.ffmpeg("a.wav", "-c:a", "pcm_s24le"),
    "32 bits": lambda make: make.ffmpeg("a.wav", "-c:a", "pcm_s32le"),
    "64-bit floats": lambda make: make.ffmpeg("a.wav", "-c:a", "pcm_f64le"),
    "mu-law": lambda make: make.ffmpeg("a.wav", "-c:a", "pcm_mulaw"),
    "A-law": lambda make: make.ffmpeg("a.au", "-c:a", "pcm_alaw"),
    "ADPCM": lambda make: make.ffmpeg("a.wav", "-c:a", "adpcm_ima_wav"),
    "AIFF": lambda make: make.ffmpeg("a.aiff"),
    "CAF": lambda make: make.ffmpeg("a.caf"),
    "FLAC": lambda make: make.ffmpeg("a.flac"),
    "ALAC": lambda make: make.ffmpeg("a.m4a", "-c:a", "alac"),
    "MP3": lambda make: make.ffmpeg("a.mp3"),
    "AAC": lambda make: make.ffmpeg("a.m4a"),
    "ADTS": lambda make: make.ffmpeg("a.aac"),
    "Vorbis": lambda make: make.ffmpeg("a.ogg", "-c:a", "libvorbis"),
    "Opus": lambda make: make.ffmpeg("a.opus", "-c:a", "libopus"),
    "chained Opus": lambda make: make.bytes("a.opus", 2 * make.encoded(".opus", "-c:a", "libopus")),
    # Its decoder leaves out the first frame.
    "WMA": lambda make: make.ffmpeg("a.wma", "-af", "adelay=200"),
    "AC-3": lambda make: make.ffmpeg("a.ac3", "-ar", "48000"),
    "WavPack": lambda make: make.ffmpeg("a.wv"),
    "1 kHz": lambda make: make.ffmpeg("a.wav", "-ar", "1000"),
    "384 kHz": lambda make: make.ffmpeg("a.wav", "-ar", "384000"),
    "quad": lambda make: make.ffmpeg("a.wav", "-ac", "4"),
    "5.1": lambda make: make.ffmpeg("a.m4a", "-ac", "6", "-ar", "48000"),
    "24 channels": lambda make: make.floats("a.wav", *[make.samples] * 24),
    "one channel is silent": lambda make: make.floats("a.wav", make.samples, make.samples * 0),
    "stereo with the right side delayed": lambda make: make.floats(
        "a.wav", make.samples, np.roll(make.samples, 40)
    ),
    "only the centre of 5.1": lambda make: make.floats(
        "a.wav", *[make.samples * (channel == 2) for channel in range(6)]
    ),
    "lossy overshoot": lambda make: make.floats("a.wav", make.samples / abs(make.samples).max() * 1.3),
    "a small offset": lambda make: make.floats("a.wav", make.samples + 0.001),
    "no length in the header": lambda make: make.wav("a.wav", make.pcm, size=0),
    "a streamed header": lambda make: make.wav("a.wav", make.pcm, size=2**32 - 1),
    "trailing garbage": lambda make: make.bytes("a.wav", make.voice.read_bytes() + b"<html>" * 99),
    "leading garbage in front of an MP3": lambda make: make.bytes("a.mp3", make.noise(3000) + make.mp3()),
    "a cover": lambda make: make.with_cover("a.mp3", 99),
    "a video": lambda make: make.ffmpeg(
        "a.mp4", "-f", "lavfi", "-i", "testsrc=s=64x64:d=3", "-pix_fmt", "yuv420p"
    ),
    "a name with a colon": lambda make: make.bytes("http:a.wav", make.voice.read_bytes()),
    "a late start": lambda make: make.ffmpeg("a.mkv", "-af", "asetpts=PTS+5/TB"),
    "a wrong suffix": lambda make: make.bytes("a.jpg", make.voice.read_bytes()),
    "a percent sign": lambda make: make.bytes("a%03d.wav", make.voice.read_bytes()),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_recording_is_passed_on_as_it_is(kind: str, make: Maker, tmp_path: Path) -> None:
    """Byte for byte, because the results that were made from it are found by its hash."""
    path = GOOD[kind](make)
    before = path.read_bytes()
    recording, waveform, _ = read(path, tmp_path)
    assert recording.path == path
    assert path.read_bytes() == before
    assert recording.warnings == ()
    assert list((tmp_path / "clean").iterdir()) == []
    assert np.abs(waveform.mean(axis=0)).max() > 0.01


# Latin-1 as an old tagger writes it: cut at 30 bytes, and no UTF-8.
ID3V1 = b"TAG" + b"Caf\xe9".ljust(30, b"\0") + b"\xff\xfe".ljust(94, b"\0") + b"\0"


def _latin1_wav(make: Maker) -> Path:
    info = b"INFOINAM" + struct.pack("<I", 4) + b"Caf\xe9"
    data = make.voice.read_bytes() + b"LIST" + struct.pack("<I", len(info)) + info
    return make.bytes("a.wav", data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


# Each with the seconds of sound that are left of it.
LOSSLESS: dict[str, tuple[Callable[[Maker], Path], float]] = {
    "tags of a WAV that are not UTF-8": (_latin1_wav, 3),
    "tags of an MP3 that are not UTF-8": (lambda make: make.bytes("a.mp3", make.mp3() + ID3V1), 3),
    "8 bits": (lambda make: make.ffmpeg("a.wav", "-c:a", "pcm_u8"), 3),
    "8 bits, signed": (lambda make: make.ffmpeg("a.aiff", "-c:a", "pcm_s8"), 3),
    "64-bit integers": (lambda make: make.ffmpeg("a.wav", "-c:a", "pcm_s64le"), 3),
    "a byte order mark in front": (
        lambda make: make.bytes("a.wav", b"\xef\xbb\xbf" + make.voice.read_bytes()),
        3,
    ),
    "a form around it": (
        lambda make: make.bytes("a.m4a", b"--b\r\nContent-Type: audio/mp4\r\n\r\n" + make.encoded(".m4a")),
        3,
    ),
    "zeros in front": (lambda make: make.bytes("a.wav", bytes(100) + make.voice.read_bytes()), 3),
    "zeros at the end of an MP3": (lambda make: make.bytes("a.mp3", make.mp3() + bytes(50_000)), 3),
    "an MP3 whose rate and channels change": (
        lambda make: make.bytes("a.mp3", make.mp3() + make.mp3("-ar", "48000", "-ac", "2")),
        6,
    ),
    "AAC whose rate changes": (
        lambda make: make.bytes("a.aac", make.encoded(".aac") + make.encoded(".aac", "-ar", "48000")),
        6,
    ),
    "eight planes": (lambda make: make.ffmpeg("a.webm", "-c:a", "libopus", "-ac", "8", "-ar", "48000"), 3),
    "many planes": (
        lambda make: make.ffmpeg(
            "a.opus",
            "-af",
            "pan=12c|" + "|".join(f"c{i}=c0" for i in range(12)),
            "-mapping_family",
            "255",
        ),
        3,
    ),
    "an offset": (lambda make: make.floats("a.wav", make.samples / 2 + 0.3), 3),
    "an offset in each channel": (
        lambda make: make.floats("a.wav", make.samples / 2 + 0.3, make.samples / 2 - 0.3),
        3,
    ),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_what_the_loader_cannot_read_becomes_a_clean_copy(kind: str, make: Maker, tmp_path: Path) -> None:
    maker, seconds = LOSSLESS[kind]
    path = maker(make)
    recording, waveform, _ = read(path, tmp_path)
    assert recording.path.parent == tmp_path / "clean"
    assert recording.warnings == ()
    assert recording.seconds == pytest.approx(seconds, abs=0.2)
    assert np.abs(waveform.mean(axis=1)).max() < 0.002
    heard = np.interp(
        np.arange(round(recording.seconds * RATE)) / RATE,
        np.linspace(0, recording.seconds, waveform.shape[1], endpoint=False),
        waveform.mean(axis=0),
    )
    for part in np.array_split(heard, round(seconds / SECONDS)):
        assert likeness(part, make.samples) > 0.95


def _with_nan(samples: np.ndarray, value: float = np.nan) -> np.ndarray:
    return np.where(np.arange(len(samples)) // 500 % 20 == 0, value, samples)


LOSSY: dict[str, tuple[Callable[[Maker], Path], str]] = {
    "a damaged MP3": (
        lambda make: make.bytes("a.mp3", make.mp3()[:3000] + make.noise(1500) + make.mp3()[4500:]),
        "is damaged at 0:0",
    ),
    "zeros in an MP3": (
        lambda make: make.bytes("a.mp3", make.mp3()[:3000] + bytes(3000) + make.mp3()[6000:]),
        r"is damaged at 0:0\d: 0\.\d+ s could not be decoded",
    ),
    "joined MP3s with tags": (
        lambda make: make.bytes("a.mp3", 2 * make.encoded(".mp3")),
        "is damaged at 0:03",
    ),
    "damaged ADTS": (
        lambda make: make.bytes("a.aac", make.encoded(".aac")[:5000] + make.encoded(".aac")[6000:]),
        "is damaged at 0:0",
    ),
    "a damaged M4A": (
        lambda make: make.bytes(
            "a.m4a",
            (data := make.encoded(".m4a", "-movflags", "+faststart"))[:9000] + bytes(2000) + data[11000:],
        ),
        "is damaged at 0:0",
    ),
    "a cut M4A": (
        lambda make: make.bytes("a.m4a", make.encoded(".m4a", "-movflags", "+faststart")[:-6000]),
        r"should last 3\.\d s, and only \d\.\d s can be decoded",
    ),
    "a cut FLAC": (
        lambda make: make.bytes("a.flac", make.encoded(".flac")[:-8000]),
        r"should last 3\.0 s, and only [12]\.\d s can be decoded",
    ),
    "NaN": (lambda make: make.floats("a.wav", _with_nan(make.samples)), "samples that are not numbers"),
    "a channel of NaN": (
        lambda make: make.floats("a.wav", make.samples, make.samples * np.nan),
        "samples that are not numbers",
    ),
    "infinity": (
        lambda make: make.floats("a.wav", _with_nan(make.samples, np.inf)),
        "samples that are not numbers",
    ),
    "absurd values": (
        lambda make: make.floats("a.wav", _with_nan(make.samples, 1e30)),
        "samples that are not numbers",
    ),
    "opposite phase": (
        lambda make: make.floats("a.wav", make.samples, -make.samples),
        "only channel 1 of 2 is used",
    ),
    "nearly opposite phase": (
        lambda make: make.floats("a.wav", make.samples * 0.9, -make.samples),
        "only channel 2 of 2 is used",
    ),
    "opposite phase in quad": (
        lambda make: make.floats("a.wav", *[make.samples * sign for sign in (1, -1, 1, -1)]),
        "only channel 1 of 4 is used",
    ),
    "samples as large as integers": (
        lambda make: make.floats("a.wav", make.samples * 2**15),
        "is 80 dB louder than full scale",
    ),
    "a default track that is not the first": (
        lambda make: make.ffmpeg(
            "a.mkv", "-f", "lavfi", "-i", "anullsrc=r=16000:d=3",
            *["-map", "1", "-map", "0", "-t", "3", "-disposition:a:0", "0", "-disposition:a:1", "default"],
        ),
        "has 2 audio tracks: track 2 is used",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOSSY)
def test_what_was_lost_is_a_warning(kind: str, make: Maker, tmp_path: Path) -> None:
    maker, warning = LOSSY[kind]
    recording, waveform, rate = read(maker(make), tmp_path)
    assert recording.path.suffix == ".wav"
    assert recording.path.parent == tmp_path / "clean"
    (sentence,) = recording.warnings
    assert re.search(rf"^a\.\w+ .*{warning}", sentence), sentence
    assert rate == RATE
    assert 0.05 < np.abs(waveform).max() <= 1
    # Something of the voice is heard, and of what was joined at least one part.
    assert likeness(waveform.mean(axis=0), make.samples) > 0.5


@pytest.mark.parametrize("kind", ["8 bits", "NaN", "a damaged MP3", "an MP3 whose rate and channels change"])
def test_the_same_recording_gives_the_same_copy(kind: str, make: Maker, tmp_path: Path) -> None:
    maker = (LOSSLESS | LOSSY)[kind][0]
    copies = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clean").mkdir()
        copies.append(read(maker(make), tmp_path / name)[0])
    assert copies[0].sha256 == copies[1].sha256
    assert copies[0].warnings == copies[1].warnings


def test_a_copy_is_as_good_as_its_original(make: Maker, tmp_path: Path) -> None:
    """Whatever has 16 bits keeps each of them."""
    recording, waveform, _ = read(_latin1_wav(make), tmp_path)
    assert recording.path.name == "a-clean.wav"
    assert np.array_equal(waveform[0], make.samples)
