"""Recordings that are incomplete, faulty or none: what is said, and what is used all the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import imageio_ffmpeg
import numpy as np
import pytest

from driver.rendering import inputs
from driver.rendering.recordings import read_music, read_recording
from story_studio.checks.waveform import shown
from story_studio.story import schema
from tests.rendering.loading import read
from tests.rendering.recording_files import RATE, Maker

INCOMPLETE: dict[str, Callable[[Maker], Path]] = {
    "a cut WAV": lambda make: make.bytes("a.wav", make.voice.read_bytes()[:50_000]),
    "a cut WAV with a right RIFF size": lambda make: make.wav("a.wav", make.pcm[:50_000], size=96_000),
    "a cut WAV of floats": lambda make: _cut(make, ".wav", "-c:a", "pcm_f32le"),
    "a cut WAV of A-law": lambda make: _cut(make, ".wav", "-c:a", "pcm_alaw"),
    "a cut Wave64": lambda make: _cut(make, ".w64"),
    "a cut CAF": lambda make: _cut(make, ".caf", "-c:a", "pcm_s16le"),
    "a cut AU": lambda make: _cut(make, ".au"),
    "a cut AVI": lambda make: _cut(make, ".avi", "-c:a", "pcm_s16le"),
    "a cut FLV": lambda make: _cut(make, ".flv", "-ar", "44100"),
    "a cut MP3": lambda make: make.bytes("a.mp3", make.mp3()[:6000]),
    "damaged Opus": lambda make: make.bytes("a.opus", _damaged(make, ".opus")),
    "a damaged WebM": lambda make: make.bytes("a.webm", _damaged(make, ".webm")),
}


def _cut(make: Maker, suffix: str, *options: str) -> Path:
    data = make.encoded(suffix, *options)
    return make.bytes(f"a{suffix}", data[: len(data) * 3 // 5])


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
    # The card says the same.
    assert [f"{path.name} {fault.text}" for fault in shown(path).faults] == [sentence]


def test_a_cut_ogg_file_has_no_end(make: Maker, tmp_path: Path) -> None:
    """It does not say how long it is, and its last page is marked, of which all is there."""
    data = make.encoded(".opus", "-c:a", "libopus", "-page_duration", "200000")
    for missing, warns in ((0, False), (1, True), (9000, True)):
        recording, _, _ = read(make.bytes("a.opus", data[: len(data) - missing]), tmp_path)
        assert any("a.opus has no end" in sentence for sentence in recording.warnings) is warns


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
