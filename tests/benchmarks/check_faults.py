"""Faults of known size, made into parts of real talking clips, and the clips encoded as the product's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

import av
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from story_studio.media.encoder import SAMPLE_RATE, VISUALLY_LOSSLESS, Encoder, yuv_converter

from .check_windows import Window

CAST = np.array([1.0, 0.1, -0.9], np.float32)
"""What is added to red, green and blue where colours drift: warmer, about as bright."""
_SEED = 18


@dataclass(frozen=True, eq=False)
class Made:
    """A clip to be checked.

    Attributes:
        frames: uint8 [N, height, width, 3], RGB.
        sound: float32 [samples], mono, 48 kHz.
        fps: frames a second.
        at: when the fault happens, in seconds; None if it is everywhere.
        reference: the image that the clip should show, uint8 [height, width, 3].
    """

    frames: np.ndarray
    sound: np.ndarray
    fps: int
    at: float | None = None
    reference: np.ndarray | None = None


Make = Callable[[Window, Window, float], Made]
"""Makes a fault of a size of a window, with another person's window to take from."""


Part = Literal["face", "sound", "frames", "voice"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        sizes: those that are made.
        unit: of the sizes.
        figures: those of which at least one should be out of its limits; each is a figure or a group of them.
        goal: the share that should be found, from size `least` (its absolute value) on.
        part: what is faulty: with `face`, all is measured; with `frames`, faces are not looked for; with
            `sound`, the video is the same as without a fault, and its faces are followed once for all sounds;
            with `voice`, all but the voice is left out.
    """

    make: Make
    sizes: tuple[float, ...]
    unit: str
    figures: tuple[str, ...]
    goal: float = 0.95
    least: float = 0.0
    part: Part = "frames"


def _as_it_is(window: Window, other: Window, size: float) -> Made:
    return _made(window)


def _shifted(window: Window, other: Window, frames: float) -> Made:
    return replace(_made(window), sound=window.audio(round(frames * SAMPLE_RATE / window.fps)))


def _other_voice(window: Window, other: Window, size: float) -> Made:
    """Another person's sound, as loud as the window's own."""
    own, sound = window.audio(), np.resize(other.audio(), window.samples)
    return replace(_made(window), sound=np.clip(sound * (_rms(own) / max(_rms(sound), 1e-6)), -1, 1))


def _frozen(window: Window, other: Window, seconds: float) -> Made:
    frames, start, stop = _middle(window, seconds)
    frames[start:stop] = frames[start]
    return replace(_made(window), frames=frames, at=start / window.fps)


def _black(window: Window, other: Window, count: float) -> Made:
    frames, start, stop = _middle(window, count / window.fps)
    frames[start:stop] = 0
    return replace(_made(window), frames=frames, at=start / window.fps)


def _flicker(window: Window, other: Window, levels: float) -> Made:
    """One frame that is brighter."""
    frames, start, _ = _middle(window, 0)
    frames[start] = _added(frames[start], np.full(3, levels))
    return replace(_made(window), frames=frames, at=start / window.fps)


def _blurred(window: Window, other: Window, pixels: float) -> Made:
    """A Gaussian blur that grows to a radius at the last frame."""
    last = len(window.frames) - 1
    blurs = (ImageFilter.GaussianBlur(pixels * index / last) for index in range(last + 1))
    frames = [
        np.asarray(Image.fromarray(frame).filter(blur))
        for frame, blur in zip(window.frames, blurs, strict=True)
    ]
    return replace(_made(window), frames=np.stack(frames))


def _drifting(window: Window, other: Window, difference: float) -> Made:
    """A cast that grows evenly to a colour difference at the last frame."""
    last = len(window.frames) - 1
    levels = cast_of(window.frames[last], difference)
    frames = [_added(frame, CAST * (levels * index / last)) for index, frame in enumerate(window.frames)]
    return replace(_made(window), frames=np.stack(frames))


def _seam(
    window: Window, other: Window, size: float, change: Callable[[np.ndarray, float], np.ndarray]
) -> Made:
    """From the middle on, everything is changed: a chunk that does not continue the one before."""
    frames, start, _ = _middle(window, 0)
    frames[start:] = change(frames[start:], size)
    return replace(_made(window), frames=frames, at=start / window.fps)


def _swapped(window: Window, other: Window, size: float) -> Made:
    """Two people's clips, joined at the middle, image and sound."""
    frames, start, _ = _middle(window, 0)
    height, width = frames.shape[1:3]
    frames[start:] = np.stack([fitted(frame, width, height) for frame in other.frames[start : len(frames)]])
    sound, at = window.audio(), round(start * SAMPLE_RATE / window.fps)
    sound = np.concatenate([sound[:at], other.audio()[at : len(sound)]])
    return replace(_made(window), frames=frames, sound=sound, at=start / window.fps)


def _gone(window: Window, other: Window, seconds: float) -> Made:
    """The camera pans off the speaker and back."""
    frames, start, stop = _middle(window, seconds)
    width, pan = frames.shape[2], max(2, round(0.25 * window.fps))
    for index in range(start - pan, stop + pan):
        outside = max(start - index, index - stop + 1, 0)
        frames[index] = _moved(frames[index], round(width * (1 - outside / pan)))
    return replace(_made(window), frames=frames, at=start / window.fps)


def _quiet_ends(window: Window, other: Window, size: float) -> Made:
    """Silence before and after what is said, as in a voice that is not cut."""
    sound, silence, fade = window.audio().copy(), round(0.3 * SAMPLE_RATE), round(0.05 * SAMPLE_RATE)
    ramp = np.concatenate([np.zeros(silence, np.float32), np.linspace(0, 1, fade, dtype=np.float32)])
    sound[: len(ramp)] *= ramp
    sound[-len(ramp) :] *= ramp[::-1]
    return replace(_made(window), sound=sound + _noise(len(sound), -75))


def _cut(window: Window, other: Window, size: float) -> Made:
    """The sound starts and ends in the middle of a word: where it is loudest."""
    sound, part = window.audio(), round(0.1 * SAMPLE_RATE)
    levels = np.square(sound[: len(sound) // part * part]).reshape(-1, part).mean(axis=1)
    both = levels[:-1] + levels[1:]
    return replace(_made(window), sound=np.roll(sound, -(int(np.argmax(both)) + 1) * part))


def _clipped(window: Window, other: Window, gain: float) -> Made:
    """A recording whose peaks exceed full scale by a number of decibels."""
    made = _quiet_ends(window, other, 0)
    sound = made.sound / max(float(np.abs(made.sound).max()), 1e-6)
    return replace(made, sound=np.clip(sound * _factor(gain), -1, 1))


def _noisy(window: Window, other: Window, ratio: float) -> Made:
    """Hiss below the level of the sound by a number of decibels."""
    made = _quiet_ends(window, other, 0)
    level = 20 * np.log10(max(_rms(made.sound), 1e-6)) - ratio
    return replace(made, sound=np.clip(made.sound + _noise(len(made.sound), level), -1, 1))


def _short(window: Window, other: Window, seconds: float) -> Made:
    """Audio that ends before the video."""
    made = _quiet_ends(window, other, 0)
    return replace(made, sound=made.sound[: len(made.sound) - round(seconds * SAMPLE_RATE)])


def _moved_by(frames: np.ndarray, pixels: float) -> np.ndarray:
    return np.stack([_moved(frame, round(pixels)) for frame in frames])


def _brighter_by(frames: np.ndarray, levels: float) -> np.ndarray:
    return np.stack([_added(frame, np.full(3, levels)) for frame in frames])


def _colored_by(frames: np.ndarray, difference: float) -> np.ndarray:
    levels = cast_of(frames[0], difference)
    return np.stack([_added(frame, CAST * levels) for frame in frames])


SHIFTS = tuple(float(frames) for frames in range(-8, 9) if frames)
KINDS = {
    "as-it-is": Kind(_as_it_is, (0,), "", (), part="face"),
    "quiet-ends": Kind(_quiet_ends, (0,), "", (), part="voice"),
    "shift": Kind(_shifted, SHIFTS, "frames", ("sync",), 0.9, least=3, part="sound"),
    "other-voice": Kind(_other_voice, (1,), "", ("sync",), 0.9, part="sound"),
    "frozen": Kind(_frozen, (0.5, 1), "s", ("frames.frozen",), least=1),
    "black": Kind(_black, (1, 3, 12), "frames", ("frames.black",)),
    "flicker": Kind(_flicker, (5, 10, 20, 40), "levels", ("frames.flicker",), least=20),
    "blur": Kind(_blurred, (0.5, 1, 2, 4), "pixels", ("frames.sharpness",), least=2),
    "drift": Kind(_drifting, (2, 5, 10), "delta E", ("color",), least=10),
    "swap": Kind(_swapped, (1,), "", ("identity",), part="face"),
    "seam-position": Kind(partial(_seam, change=_moved_by), (2, 5, 10, 20), "pixels", ("seams",), least=10),
    "seam-brightness": Kind(
        partial(_seam, change=_brighter_by), (2, 5, 10, 20), "levels", ("seams",), least=10
    ),
    "seam-color": Kind(partial(_seam, change=_colored_by), (2, 5, 10, 20), "delta E", ("seams",), least=10),
    "face-gone": Kind(_gone, (0.5, 1), "s", ("face",), least=1, part="face"),
    "cut": Kind(_cut, (1,), "", ("voice.cut_start", "voice.cut_end"), part="voice"),
    "clipped": Kind(_clipped, (3, 6, 12), "dB", ("voice.clipped",), least=6, part="voice"),
    "noise": Kind(_noisy, (10, 5), "dB below", ("voice.speech_to_noise", "voice.noise_floor"), part="voice"),
    "short-sound": Kind(_short, (0.2, 1), "s", ("lengths",), least=1, part="voice"),
}
"""The kinds of fault by name; the first two are none."""


def write(made: Made, path: Path) -> None:
    """Encodes a clip as the product does: H.264 at CRF 16, BT.709, AAC."""
    height, width = made.frames.shape[1:3]
    fps, converter = Fraction(made.fps), yuv_converter(width, height)
    with Encoder(path, width, height, fps, 1, VISUALLY_LOSSLESS["h264"], {}) as encoder:
        sent = 0
        for index, pixels in enumerate(made.frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = index, 1 / fps
            converter.vpush(frame)
            encoder.frame(converter.vpull())
            end = round((index + 1) * SAMPLE_RATE / fps)
            encoder.audio(made.sound[None, sent:end].astype(np.float32))
            sent = end


def lab(pixels: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of sRGB levels [..., 3], white D65; IEC 61966-2-1 and CIE 15:2004."""
    part = np.asarray(pixels, np.float64) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(
        [
            [0.4124564, 0.2126729, 0.0193339],
            [0.3575761, 0.7151522, 0.1191920],
            [0.1804375, 0.0721750, 0.9503041],
        ]
    )
    ratio = xyz / np.array([0.95047, 1.0, 1.08883])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def cast_of(frame: np.ndarray, difference: float) -> float:
    """By how many levels of `CAST` the mean colour of a frame moves by a difference, CIE 1976.

    `frame` is uint8 [height, width, 3]. The mean is that of a small copy in L*a*b*, with what is clipped.
    """
    small = np.asarray(Image.fromarray(frame).resize((64, 64), Image.Resampling.BOX))
    before = lab(small).mean(axis=(0, 1))
    low, high = 0.0, 128.0
    for _ in range(16):
        levels = (low + high) / 2
        moved = lab(np.clip(small + CAST * levels, 0, 255)).mean(axis=(0, 1))
        low, high = (levels, high) if np.linalg.norm(moved - before) < difference else (low, levels)
    return (low + high) / 2


def _made(window: Window) -> Made:
    return Made(window.frames, window.audio(), window.fps, reference=window.frames[0])


def _middle(window: Window, seconds: float) -> tuple[np.ndarray, int, int]:
    """A copy of the frames, and the first and the last + 1 of those in the middle of it."""
    count = round(seconds * window.fps)
    start = (len(window.frames) - count) // 2
    return window.frames.copy(), start, start + count


def _added(frame: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """A frame with levels added to its red, green and blue; fractions are dithered, or small casts vanish."""
    threshold = np.random.default_rng(_SEED).random((*frame.shape[:2], 1), np.float32)
    return np.clip(np.floor(frame + levels.astype(np.float32) + threshold), 0, 255).astype(np.uint8)


def _moved(frame: np.ndarray, pixels: int) -> np.ndarray:
    """A frame moved to the right; its left edge is repeated."""
    return frame[:, np.maximum(np.arange(frame.shape[1]) - pixels, 0)]


def fitted(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """A frame cropped at its middle to another shape, and resized."""
    image = ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def _factor(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _noise(samples: int, level: float) -> np.ndarray:
    """White noise of an RMS in dB of full scale, the same in every run."""
    return np.random.default_rng(_SEED).standard_normal(samples, np.float32) * _factor(level)


def selected(names: Iterable[str]) -> list[tuple[str, float]]:
    """Kind and size of the faults named, `drift` or `drift=5`; all without names.

    Raises:
        ValueError: there is no such kind or size.
    """
    faults = [(name, size) for name, kind in KINDS.items() for size in kind.sizes]
    chosen = []
    for name in names:
        kind, _, size = name.partition("=")
        part = [fault for fault in faults if fault[0] == kind and size in ("", f"{fault[1]:g}")]
        if not part:
            raise ValueError(f"There is no fault {name}: give some of {', '.join(KINDS)}, or drift=5 alike.")
        chosen += part
    return chosen or faults
