"""Recordings for the tests, and what is made of them."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from tests.voices import write_voice

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


def likeness(heard: np.ndarray, original: np.ndarray) -> float:
    """The largest correlation of two signals at any shift; 1 where one is a louder copy of the other."""
    size = 2 ** (len(heard) + len(original)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    return float(np.abs(np.fft.irfft(product)).max() / np.linalg.norm(heard) / np.linalg.norm(original))
