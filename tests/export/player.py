"""What a timeline shows, frame by frame, from its media alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import opentimelineio as otio

from tests.export.projects import frames_of


def play(track: otio.schema.Track, folder: Path) -> np.ndarray:
    """The frames of a video track, float [frames, rows, columns], yuv420p.

    Dissolves mix their two neighbours, and a neighbour that is no clip is black.
    """
    player = _Player(track, folder)
    film = [player.shown(player.item_at(number), number) for number in range(player.length)]
    position = 0
    for item in track:
        if not isinstance(item, otio.schema.Transition):
            position += _length(item)
            continue
        before, after = int(item.in_offset.value), int(item.out_offset.value)
        neighbours = track.neighbors_of(item)
        for step in range(before + after):
            number, weight = position - before + step, (step + 0.5) / (before + after)
            old, new = (player.shown(side, number) for side in neighbours)
            film[number] = (1 - weight) * old + weight * new
    return np.stack(film)


def black_like(frame: np.ndarray) -> np.ndarray:
    """A black frame of this size."""
    black = np.full(frame.shape, 128.0)
    black[: len(frame) * 2 // 3] = 16
    return black


class _Player:
    def __init__(self, track: otio.schema.Track, folder: Path):
        self._folder = folder
        self._media: dict[str, np.ndarray] = {}
        self._spans: list[tuple[Any, int]] = []
        self.length = 0
        for item in track:
            if not isinstance(item, otio.schema.Transition):
                self._spans.append((item, self.length))
                self.length += _length(item)

    def item_at(self, number: int) -> Any:
        return next(item for item, start in self._spans if start <= number < start + _length(item))

    def shown(self, item: Any, number: int) -> np.ndarray:
        """What an item shows at a frame of the film, also beyond its ends."""
        if not isinstance(item, otio.schema.Clip):
            clip = next(other for other, _ in self._spans if isinstance(other, otio.schema.Clip))
            return black_like(self._frames(clip)[0])
        start = next(start for other, start in self._spans if other is item)
        source = int(item.source_range.start_time.value) + number - start
        frames = self._frames(item)
        assert 0 <= source < item.media_reference.available_range.duration.value <= len(frames)
        return frames[source].astype(float)

    def _frames(self, clip: otio.schema.Clip) -> np.ndarray:
        url = clip.media_reference.target_url
        if url not in self._media:
            self._media[url] = frames_of(self._folder / unquote(url))
        return self._media[url]


def _length(item: Any) -> int:
    return int(item.trimmed_range().duration.value)
