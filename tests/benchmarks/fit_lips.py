"""`python -m tests.benchmarks.fit_lips CLIP...`: fits `checks/lips.json` to talking clips.

The clips have to be in sync to 0.2 s, one or more of each speaker, named `SPEAKER_anything`: a speaker
counts by the time that he or she is seen, to the power 0.7. What a clip is off by itself is measured with
the model that is replaced. Each clip counts at its own frame rate and at 16 fps.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from story_studio.checks import lips as model
from story_studio.checks.faces import FaceTracker
from story_studio.checks.lip_sync import (
    MOUTH_RATE,
    MOUTH_TAPS,
    VOICE_RATE,
    VOICE_TAPS,
    context,
    high_pass,
    mouth_features,
    sync_of,
    voice_features,
)
from story_studio.checks.mouth import lip_points

_RATE = 16000
_MOST_LATE = 0.2
_SHAPES = 8
_DIRECTIONS = 8
_VOICE_RIDGE = 0.1
_MOUTH_RIDGE = 0.02

_Floats = NDArray[np.float32]


@dataclass
class Clip:
    """A clip in numbers: `points` of the lips at MOUTH_RATE, samples, and by how much its sound is late."""

    speaker: str
    points: _Floats
    samples: _Floats
    late: float = 0.0


def read(path: Path, template: _Floats) -> Clip:
    """A clip; its frames without a face are filled with a straight line."""
    tracker = FaceTracker()
    with av.open(str(path)) as container:
        frames = [
            (frame.time or 0.0, tracker.add(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
            for frame in container.decode(video=0)
        ]
    first = frames[0][0]
    seen = [(time - first, lip_points(face.landmarks, template).ravel()) for time, face in frames if face]
    known, values = np.array([time for time, _ in seen]), np.stack([points for _, points in seen], 1)
    times = np.arange(0, frames[-1][0] - first, 1 / MOUTH_RATE)
    points = np.stack([np.interp(times, known, each) for each in values], 1).astype(np.float32)
    return Clip(path.stem.split("_")[0], points, _samples(path))


def _samples(path: Path) -> _Floats:
    resampler = av.AudioResampler("flt", "mono", _RATE)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([part.to_ndarray()[0] for part in [*frames, *resampler.resample(None)]])


def fit(clips: list[Clip], template: _Floats) -> model.Lips:
    """The model of clips whose `late` is known."""
    names = sorted({clip.speaker for clip in clips})
    speakers = [[clip for clip in clips if clip.speaker == name] for name in names]
    moving = [[high_pass(clip.points, 0.5, MOUTH_RATE) for clip in own] for own in speakers]
    spread = np.sum([np.mean([np.cov(points.T) for points in own], 0) for own in moving], 0)
    shapes = np.linalg.eigh(spread)[1][:, ::-1][:, :_SHAPES].astype(np.float32)
    total = np.sum([_covariance(own, shapes) for own in speakers], 0)
    split = len(total) - len(MOUTH_TAPS) * _SHAPES
    voice = _whitened(total[:split, :split], _VOICE_RIDGE)
    mouth = _whitened(total[split:, split:], _MOUTH_RIDGE)
    left, weights, right = np.linalg.svd(voice @ total[:split, split:] @ mouth)
    kept = slice(_DIRECTIONS)
    directions = (voice @ left[:, kept], mouth @ right.T[:, kept], weights[kept])
    return model.Lips(template, shapes, *(each.astype(np.float32) for each in directions))


def _covariance(clips: list[Clip], shapes: _Floats) -> NDArray[np.float64]:
    """Of voice and mouth of a speaker's clips together, each with its context."""
    pairs = [pair for clip in clips for pair in _pairs(clip, shapes)]
    count = sum(len(pair) for pair in pairs)
    return np.sum([pair.T @ pair for pair in pairs], 0) * (count**0.7 / count)


def _pairs(clip: Clip, shapes: _Floats) -> list[NDArray[np.float64]]:
    """Voice and mouth of each frame at MOUTH_RATE, from all frames and from sixteen a second."""
    spectrum = voice_features(clip.samples, _RATE)
    steps = np.arange(len(clip.points))
    at = np.round((steps / MOUTH_RATE + clip.late) * VOICE_RATE).astype(int)
    voice = [spectrum[np.clip(at + tap, 0, len(spectrum) - 1)] for tap in VOICE_TAPS]
    seen = np.unique(np.round(np.arange(0, len(steps), MOUTH_RATE / 16)).astype(int).clip(0, len(steps) - 1))
    fewer = np.stack([np.interp(steps, seen, values) for values in clip.points[seen].T], 1)
    pairs = []
    for points in (clip.points, fewer.astype(np.float32)):
        moving = mouth_features(points @ shapes)
        mouth = [context(moving, tap) for tap in MOUTH_TAPS]
        pair = np.concatenate([*voice, *mouth], 1).astype(np.float64)
        pairs.append(pair - pair.mean(0))
    return pairs


def _whitened(covariance: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """The inverse square root, with a ridge in parts of the mean variance."""
    size = len(covariance)
    values, vectors = np.linalg.eigh(covariance + ridge * np.trace(covariance) / size * np.eye(size))
    return (vectors / np.sqrt(values)) @ vectors.T


def write(fitted: model.Lips, path: Path) -> None:
    """The numbers to four digits, a row a line."""
    tables = []
    for field in fields(fitted):
        rows = np.vectorize(lambda value: float(f"{value:.4g}"))(getattr(fitted, field.name)).tolist()
        lines = [json.dumps(row) for row in rows]
        tables.append(f'  "{field.name}": [\n' + ",\n".join("    " + line for line in lines) + "\n  ]")
    path.write_text("{\n" + ",\n".join(tables) + "\n}\n", "utf-8")


def main() -> None:
    """Fits and writes the model, then says how much each direction correlates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=Path(model.__file__).with_name("lips.json"))
    arguments = parser.parse_args()
    template = model.lips().template
    clips = [read(path, template) for path in arguments.clips]
    for clip in clips:
        sync = sync_of(list(clip.points @ model.lips().shapes), MOUTH_RATE, clip.samples, _RATE)
        late = sync.offset_seconds or 0.0
        clip.late = late if abs(late) <= _MOST_LATE else 0.0
    fitted = fit(clips, template)
    write(fitted, arguments.to)
    print(np.round(fitted.weights, 3))


if __name__ == "__main__":
    main()
