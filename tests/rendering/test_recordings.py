"""Recordings as people bring them: what the door makes of each kind, and that ComfyUI's own loader takes it.

Each test makes its recordings from a synthetic voice of three seconds.
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

import tests.comfy_process  # noqa: F401 -- it hides the GPU before anything imports ComfyUI
from driver.files import sha256_of
from driver.rendering import inputs
from driver.rendering.recordings import Recording, read_music, read_recording
from story_studio.story import schema
from tests.voices import write_voice

# isort: split
from comfy_extras.nodes_audio import load

SECONDS = 3
RATE = 16_000


class Maker:
    """Makes recordings in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.voice = write_voice(folder / "voice.wav", SECONDS)
        self.pcm = self.voice.read_bytes().partition(b"data")[2][4:]
        self.samples = np.frombuffer(self.pcm, "<i2").astype(np.float32) / 2**15

    def noise(self, size: int) -> bytes:
        return random.Random(0).randbytes(size)

    def path(self, name: str) -> Path:
        (self.folder / "made").mkdir(exist_ok=True)
        return self.folder / "made" / name

    def bytes(self, name: str, content: bytes) -> Path:
        path = self.path(name)
        path.write_bytes(content)
        return path

    def ffmpeg(self, name: str, *options: str) -> Path:
        """The voice, converted; options may name further inputs first."""
        path = self.path(name)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(self.voice)]
        subprocess.run([*command, *options, str(path)], check=True)
        return path

    def encoded(self, suffix: str, *options: str) -> bytes:
        return self.ffmpeg(f"encoded{suffix}", *options).read_bytes()

    def with_cover(self, name: str, size: int) -> Path:
        """A cover of size x size pixels."""
        Image.new("RGB", (size, size)).save(self.folder / "cover.png")
        streams = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
        return self.ffmpeg(name, "-i", str(self.folder / "cover.png"), *streams)

    def mp3(self, *options: str) -> bytes:
        """Without tags in front."""
        return self.encoded(".mp3", "-id3v2_version", "0", *options)

    def wav(
        self, name: str, data: bytes, channels: int = 1, bits: int = 16, rate: int = RATE, size: int = -1
    ) -> Path:
        kind, frame = (3 if bits == 32 else 1), channels * bits // 8
        head = struct.pack("<IHHIIHH", 16, kind, channels, rate, rate * frame % 2**32, frame, bits)
        size = len(data) if size < 0 else size
        body = b"WAVEfmt " + head + b"data" + struct.pack("<I", size) + data
        return self.bytes(name, b"RIFF" + struct.pack("<I", min(size + 36, 2**32 - 1)) + body)

    def floats(self, name: str, *channels: np.ndarray, rate: int = RATE) -> Path:
        samples = np.stack(channels).astype("<f4")
        return self.wav(name, samples.T.tobytes(), len(channels), 32, rate)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def read(path: Path, folder: Path) -> tuple[Recording, np.ndarray, int]:
    """The recording, and what ComfyUI's loader reads of what the server gets."""
    clean = folder / "clean"
    clean.mkdir(exist_ok=True)
    recording = read_recording(path, clean)
    on_server = folder / Path(recording.server_name).name
    on_server.write_bytes(recording.path.read_bytes())
    waveform, rate = load(str(on_server))
    assert waveform.shape[1] / rate == pytest.approx(recording.seconds, abs=0.001)
    assert recording.sha256 == sha256_of(recording.path)
    return recording, waveform.float().numpy(), rate


def likeness(heard: np.ndarray, original: np.ndarray) -> float:
    """The largest correlation of two signals at any shift; 1 where one is a louder copy of the other."""
    size = 2 ** (len(heard) + len(original)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    return float(np.abs(np.fft.irfft(product)).max() / np.linalg.norm(heard) / np.linalg.norm(original))


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


INCOMPLETE: dict[str, Callable[[Maker], Path]] = {
    "a cut WAV": lambda make: make.bytes("a.wav", make.voice.read_bytes()[:50_000]),
    "a cut MP3": lambda make: make.bytes("a.mp3", make.mp3()[:6000]),
    "damaged Opus": lambda make: make.bytes("a.opus", _damaged(make, ".opus")),
    "a damaged WebM": lambda make: make.bytes("a.webm", _damaged(make, ".webm")),
}


def _damaged(make: Maker, suffix: str) -> bytes:
    data = make.encoded(suffix, "-c:a", "libopus", "-page_duration", "200000")
    return data[:9000] + make.noise(3000) + data[12_000:]


@pytest.mark.parametrize("kind", INCOMPLETE)
def test_an_incomplete_recording_that_loads_is_passed_on_with_a_warning(
    kind: str, make: Maker, tmp_path: Path
) -> None:
    """ComfyUI's loader notices nothing."""
    path = INCOMPLETE[kind](make)
    recording, _, _ = read(path, tmp_path)
    assert recording.path == path
    (sentence,) = recording.warnings
    assert re.search(r"should last (3\.0|2\.9) s, and only \d\.\d s can be decoded", sentence), sentence


def _dash(make: Maker) -> Path:
    secret = make.ffmpeg("secret.m4a")
    return make.bytes(
        "a.mp4",
        f"""<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
        mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1"
        bandwidth="1"><BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>""".encode(),
    )


REFUSED: dict[str, tuple[Callable[[Maker], Path], str]] = {
    "nothing": (lambda make: make.bytes("a.wav", b""), "because it is empty: copy or export it again"),
    "a web page": (
        lambda make: make.bytes("a.mp3", "<html>Nicht gefunden \u00fc</html>".encode() * 99),
        "because it is a text such as a web page",
    ),
    "noise": (
        lambda make: make.bytes("a.mp3", make.noise(100_000)),
        "cannot be read as audio: export it again",
    ),
    "zeros": (lambda make: make.bytes("a.mp3", bytes(100_000)), "cannot be read as audio: export it again"),
    "mostly noise": (
        lambda make: make.bytes("a.aac", make.encoded(".aac")[:1500] + make.noise(60_000)),
        "most of it cannot be decoded|cannot be read as audio|is damaged",
    ),
    "an M4A without its index": (
        lambda make: make.bytes("a.m4a", make.encoded(".m4a")[:-3000]),
        "cannot be read as audio: export it again",
    ),
    "a video without audio": (
        lambda make: make.ffmpeg(
            "a.mp4", *["-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-map", "1", "-pix_fmt", "yuv420p"]
        ),
        "has no audio in it: choose",
    ),
    "one sample": (lambda make: make.floats("a.wav", make.samples[:1]), "lasts 0.0 s, .* at least 0.2 s"),
    "one sample too few": (lambda make: make.floats("a.wav", make.samples[:3199]), "lasts 0.19 s"),
    "only NaN": (
        lambda make: make.floats("a.wav", make.samples * np.nan),
        "most of its samples are not numbers: export",
    ),
    "mostly NaN": (
        lambda make: make.floats("a.wav", np.where(np.arange(48_000) < 30_000, np.nan, make.samples)),
        "most of its samples are not numbers: export",
    ),
    "only an offset": (lambda make: make.floats("a.wav", make.samples * 0 + 0.5), "is silent: record"),
    "silence": (lambda make: make.floats("a.wav", make.samples * 1e-3), "is silent: record"),
    "a sample rate of 1 Hz": (lambda make: make.wav("a.wav", make.pcm, rate=1), "a sample rate of 1 Hz"),
    "no channels": (lambda make: make.wav("a.wav", make.pcm, channels=0), "cannot be read as audio"),
    "an HLS playlist": (
        lambda make: make.bytes(
            "a.wav", f"#EXTM3U\n#EXTINF:3,\n{make.ffmpeg('secret.mp3')}\n#EXT-X-ENDLIST\n".encode()
        ),
        "a playlist: choose the recording itself",
    ),
    "an HLS playlist that is no text": (
        lambda make: make.bytes(
            "a.m3u8",
            f"#EXTM3U\n#EXTINF:3,\n{make.ffmpeg('secret.mp3')}\n#EXT-X-ENDLIST\n#".encode() + b"\xff\0",
        ),
        "cannot be read as audio: export it again",
    ),
    "a list of files": (
        lambda make: make.bytes(
            "a.wav", f"ffconcat version 1.0\nfile {make.ffmpeg('secret.mp3').name}\n".encode()
        ),
        "a playlist: choose the recording itself",
    ),
    "a DASH manifest": (_dash, "a playlist: choose the recording itself"),
    "a session": (
        lambda make: make.bytes(
            "a.sdp",
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        ),
        "a playlist: choose the recording itself",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_recording_is_refused_with_a_sentence(kind: str, make: Maker, tmp_path: Path) -> None:
    maker, message = REFUSED[kind]
    path = maker(make)
    with pytest.raises(ValueError, match=message) as caught:
        read_recording(path, tmp_path)
    assert str(caught.value).startswith(path.name)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("suffix", [".m3u8", ".wav"])
def test_a_recording_cannot_make_the_driver_open_an_address(suffix: str, make: Maker, tmp_path: Path) -> None:
    """The probe has worked: FFmpeg's command, which has no such limits, does ask the server."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/a.mp3"
        path = make.bytes(f"a{suffix}", f"#EXTM3U\n#EXTINF:3,\n{address}\n#EXT-X-ENDLIST\n".encode())
        with pytest.raises(ValueError, match="a playlist"):
            read_recording(path, tmp_path)
        assert requests == []
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-protocol_whitelist", "file,http,tcp", "-f", "hls"]
        subprocess.run([*command, "-i", str(path), "-f", "null", "-"], capture_output=True, check=False)
        assert requests
    finally:
        server.shutdown()
        server.server_close()


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


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "clipped": (lambda voice: np.clip(voice * 8, -1, 1), r"is clipped: \d+\.\d\d% of it is cut off"),
    "in noise": (
        lambda voice: voice + 0.01 * np.random.default_rng(0).standard_normal(len(voice)),
        r"is noisy: its words are only 2\d dB louder",
    ),
    "soft": (lambda voice: voice / 40, r"is very soft: its words are at -5\d dB"),
    "without its start": (
        lambda voice: voice[RATE // 12 :],
        r"starts in the middle of a word: .* -?\+?\d+ dB",
    ),
    "without its end": (lambda voice: voice[: -RATE // 4], r"ends in the middle of a word: .* -?\+?\d+ dB"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_voice_has_a_warning(kind: str, make: Maker, tmp_path: Path) -> None:
    """With the figure and what to do; the recording is passed on, and the same as music has none."""
    change, warning = FAULTS[kind]
    path = make.floats("a.wav", change(make.samples))
    recording, _, _ = read(path, tmp_path)
    assert recording.path == path
    (sentence,) = recording.warnings
    assert re.search(rf"^a\.wav {warning}.*\. (Record|If) .*\.$", sentence), sentence
    assert read_music(path, tmp_path).warnings == ()


MEASURE = """
import resource, sys
from pathlib import Path
from driver.rendering.recordings import read_recording
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
read_recording(Path(sys.argv[1]), Path(sys.argv[3]))
before = peak()
print(read_recording(Path(sys.argv[2]), Path(sys.argv[3])).path.name, peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource")
@pytest.mark.parametrize("kind", ["passed on", "copied"])
def test_memory_does_not_grow_with_the_length(kind: str, make: Maker, tmp_path: Path) -> None:
    """Ten minutes are 115 MB of floats."""
    options = ("-c:a", "pcm_u8") if kind == "copied" else ()
    short = make.ffmpeg("short.wav", "-ar", "48000", *options)
    long = make.path("long.wav")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "199", "-i", str(short)]
    subprocess.run([*command, "-c", "copy", str(long)], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MEASURE, str(short), str(long), str(tmp_path)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    name, grown = output.split()
    assert (name == "long-clean.wav") is (kind == "copied")
    assert int(grown) < 30


def test_a_cover_is_not_decoded(make: Maker, tmp_path: Path) -> None:
    """A picture of 100 megapixels in a few kilobytes."""
    path = make.with_cover("a.flac", 10_000)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MEASURE, str(make.voice), str(path), str(tmp_path)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    name, grown = output.split()
    assert name == "a.flac"
    assert int(grown) < 30


def test_only_the_scene_of_a_bad_recording_fails(make: Maker, tmp_path: Path) -> None:
    bad = [REFUSED[kind][0](make).rename(tmp_path / f"{n}.bin") for n, kind in enumerate(REFUSED)]
    scenes = [{"id": f"s{n}", "prompt": "x", "audio": path.name} for n, path in enumerate([make.voice, *bad])]
    folder = tmp_path / "downloads"
    folder.mkdir()
    story = schema.parse({"scenes": scenes})
    gathered = inputs.gather_each(story, folder, lambda source, _: tmp_path / source)
    assert list(gathered.scenes) == ["s0"]
    assert sorted(gathered.problems) == sorted(f"s{n}" for n in range(1, len(scenes)))
