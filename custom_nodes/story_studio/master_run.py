"""Masters that nodes make, window by window: what a run has open while ComfyUI runs its nodes.

A Master expands into nodes that are made for each window of its clip (`story/windows.py`). They find the run
by its id. A run ends with its prompt at the latest, and then leaves no file.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np

from .core import expansion, output_cache
from .media.clip_frames import frame_count, rgb_pixels
from .media.drift import Drift
from .media.footage import Footage
from .media.master import MasterWriter, Target, source_frames
from .media.retime import retimed
from .media.windows import Window, WindowReader, added, first_window, later_windows, multiplier_of
from .story import windows
from .story.formats import Interpolation
from .story.recipes import Link, Nodes

_EXACT_MULTIPLIER = 4
"""The most by which frames are multiplied only to need no further interpolation."""

_runs: dict[str, Run] = {}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Source:
    """The frames that the nodes between Clip Frames and Master get.

    Attributes:
        path: the clip.
        footage: what is in it.
        fps: their rate, frames a second.
        interpolation: how they get it, see `media/retime.py`.
        context: frames before and after each window.
        multiplier: by how much the nodes are asked to multiply them.
        drift: of the clip's colours, which is undone.
    """

    path: Path
    footage: Footage
    fps: Fraction
    interpolation: Interpolation
    context: int
    multiplier: int
    drift: Drift | None = None

    @property
    def frames(self) -> int:
        """How many there are."""
        return frame_count(self.footage, self.fps)

    def numbers(self) -> dict[int, float]:
        """The values of the outputs of Clip Frames that are numbers."""
        return {windows.FPS: float(self.fps), windows.MULTIPLIER: self.multiplier}

    def decode(self) -> Iterator[np.ndarray]:
        """All of them, RGB, uint8 [height, width, 3] each."""
        frames = source_frames(self.path, self.footage, self.drift)
        if self.fps != self.footage.fps:
            frames = retimed(frames, self.footage.fps, self.fps, self.interpolation, self.frames)
        return rgb_pixels(frames)


def multiplier(fps: Fraction, target: Fraction) -> int:
    """By how much frames should be multiplied for a rate: such that it then needs only a choice of frames, if
    a small number does that, else to at least that rate."""
    exact = (m for m in range(1, _EXACT_MULTIPLIER + 1) if (fps * m / target).denominator == 1)
    return next(exact, max(1, ceil(target / fps)))


class Run:
    """One master that is being made.

    Args:
        node_id: the Master.
        graph: ComfyUI's graph, in which the nodes are.
        repeat: the nodes that are repeated for each window.
        source: the frames that they get.
        path: the master.
        target: what the master is like.
        tags: metadata of its file.
        finish: shows the result; called when it is there.
    """

    def __init__(
        self,
        node_id: str,
        graph: Any,
        repeat: windows.Repeated,
        source: Source,
        path: Path,
        target: Target,
        tags: dict[str, str],
        finish: Callable[[], None],
    ):
        self.id = f"master_{next(_numbers)}"
        self.node_id, self.path = node_id, path
        self._graph, self._repeat, self._source, self._finish = graph, repeat, source, finish
        self._writer = MasterWriter(path, source.path, target, tags)
        self._reader = WindowReader(source.decode())
        self._windows = [first_window(source.frames, source.context)]
        self._frame_bytes = 0
        self._multiplier: int | None = None
        self._shape: tuple[int, ...] = ()
        self._values: dict[Link, Any] = {}
        self._nodes: list[str] = []
        self._now = ""
        self._opened = ExitStack()

    def begin(self) -> tuple[Nodes, Link]:
        """Opens the file. Returns the nodes that the Master expands into, and their result."""
        nodes, link = windows.begin_node(self.id, self._repeat)
        for node_id in self._repeat.nodes:
            if expansion.saves_or_shows(cls := self._graph.get_node(node_id)["class_type"]):
                raise ValueError(
                    f"{cls} between Clip Frames and Master would be run for each window of the clip: remove "
                    "it, or link it beside the nodes that lead to the Master."
                )
        self._opened.enter_context(self._writer)
        _runs[self.id] = self
        expansion.when_prompt_ends(self.close)
        return nodes, link

    def share(self, values: list[Any]) -> tuple[Nodes, Link]:
        """Takes the values that the windows share; returns the nodes of the first window and what follows."""
        self._values = dict(zip(self._repeat.shared, values, strict=True))
        nodes, first = self._window_nodes(0)
        rest, link = windows.rest_node(self.id, first)
        return nodes | rest, link

    def rest(self) -> tuple[Nodes, Link] | None:
        """The nodes of all other windows and their end, or None if there are none."""
        source = self._source
        more = later_windows(source.frames, source.context, self._frame_bytes)
        self._windows += more
        made = [self._window_nodes(index) for index in range(1, len(self._windows))]
        if not made:
            return None
        nodes, link = windows.one_by_one(self.id, [end for _, end in made])
        for window, _ in made:
            nodes |= window
        return nodes, link

    def read(self, index: int) -> np.ndarray:
        """The frames of a window, with context, uint8 [n, height, width, 3]."""
        window = self._windows[index]
        self._now = f"frames {window.start} to {window.end - 1}"
        return self._reader.read(window)

    def add(self, index: int, frames: Any) -> float:
        """Adds what became of the frames of a window, float [n, height, width, 3], and removes it from
        ComfyUI's cache.

        Returns:
            How much of the master is done, 0 to 1.

        Raises:
            ValueError: they do not fit; the message names the clip.
        """
        window = self._windows[index]
        try:
            factor = self._check(window, frames)
            own = added(window, len(frames), factor, self._source.frames)
        except ValueError as error:
            raise ValueError(f"The master of {self._source.path.name} cannot be made: {error}.") from None
        for pixels in frames[own]:
            # One by one, because the frames of a window may be large.
            pixels = (pixels[:, :, :3].cpu().float().clamp(0, 1) * 255).round().byte().numpy()
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            self._writer.write(frame, self._source.fps * factor)
        self._frame_bytes = max(4 * frames[0].numel() * factor, self._frame_bytes)
        prefix = f"{self.id}.{index}."
        output_cache.forget([node for node in self._nodes if node.startswith(prefix)])
        return self._writer.done

    def end(self) -> Path:
        """Completes the file and shows it."""
        self._opened.close()
        self._finish()
        self.close()
        return self.path

    def close(self) -> None:
        """Releases everything, and removes the file if it is incomplete."""
        if _runs.pop(self.id, None) is None:
            return
        if not self.path.exists():
            where = f", in {self._now}" if self._now else ""
            logging.warning("The master of %s was not finished%s.", self._source.path.name, where)
        expansion.clear_inputs(self._graph, self._nodes)
        self._values, self._nodes = {}, []
        # What stopped the prompt has been reported already.
        self._opened.__exit__(InterruptedError, InterruptedError(), None)

    def _check(self, window: Window, frames: Any) -> int:
        count = window.last - window.first
        factor = multiplier_of(count, len(frames), self._source.multiplier)
        shape = tuple(frames.shape[1:])
        if factor is None or factor != (self._multiplier or factor):
            raise ValueError(
                f"{count} frames became {len(frames)}, but a Master needs as many, the same multiple for all "
                "windows, or a number of new ones between each two"
            )
        if shape != (self._shape or shape):
            raise ValueError(f"frames of {self._shape} and of {shape} cannot be in one clip")
        self._multiplier, self._shape = factor, shape
        return factor

    def _window_nodes(self, index: int) -> tuple[Nodes, Link]:
        nodes, end = windows.window_nodes(
            self._graph.get_node, self._repeat, self.id, index, self._values, self._source.numbers()
        )
        self._nodes += nodes
        return nodes, end


def run_of(run_id: str) -> Run:
    """The run with this id.

    Raises:
        ValueError: there is none.
    """
    if run_id not in _runs:
        raise ValueError("This node only works within a Master, which adds it itself: use a Master instead.")
    return _runs[run_id]
