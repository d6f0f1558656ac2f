"""Captions that are part of the film's frames, in one of three designs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np

from .burned_design import DESIGNS, Grid, Lettering, write_ass
from .burned_layer import Layer, blended, boxed, layer_of, narrowed
from .burned_layout import Position, safe_area, states
from .canvas import Canvas
from .captions import Cue
from .fonts import bold_face, family_for, family_named, metrics
from .libass import Drawing, packages_for

LARGEST = 0.15
"""The largest letters, as a fraction of the frame's shorter side."""
_LANDSCAPE_SIZE, _UPRIGHT_SIZE = 0.055, 0.066
"""What is chosen: a phone held upright shows the shorter side smaller than a screen does."""
_BOX_RADIUS, _BOX_EDGE = 0.24, 0.17
"""Radius of a box's corners, and how far it reaches below the letters, in sizes of the letters."""
_NONE = (
    "Captions are to be burned in, but the film has none: enter a text in its scenes or, for captions in "
    "another language, a translation into it."
)
_CAP_CENTRE = 0.36
"""Half the height of a capital letter, in sizes of the letters."""


@dataclass(frozen=True)
class CaptionStyle:
    """How captions are burned in.

    Attributes:
        style: `clean` is white with a soft shadow, `boxed` has a dark box behind each line, and `words`
            highlights the spoken word.
        font: a font family of this machine; empty chooses one.
        size: of the letters, as a fraction of the frame's shorter side, up to 0.15; 0 chooses one.
        position: where in the part of the frame that players and apps leave free.
        language: of the captions, BCP 47, which has its own shapes of ideographs; empty goes by the letters.

    Raises:
        ValueError: the size is out of range.
    """

    style: Literal["clean", "boxed", "words"] = "clean"
    font: str = ""
    size: float = 0.0
    position: Position = "bottom"
    language: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST:
            raise ValueError(
                f"The size of burned-in captions is {self.size}: enter a part of the frame's shorter side, "
                f"up to {LARGEST}, or 0 for a size that suits the film."
            )

    def parts(self) -> list[str | float]:
        """What a film's key holds about its burned-in captions."""
        return [self.style, self.font, self.size, self.position, self.language]


class CaptionOverlay:
    """A context manager that draws captions into the frames of a film, in memory that does not grow with it.

    Args:
        cues: the captions in the order of their time.
        canvas: size and rate of the frames.
        style: how they look.

    Attributes:
        warnings: after the last frame, what could not be drawn as it is written.

    Raises:
        ValueError: this machine does not have the font.
        RuntimeError: ffmpeg failed.
    """

    def __init__(self, cues: Sequence[Cue], canvas: Canvas, style: CaptionStyle) -> None:
        self.warnings: list[str] = []
        self._canvas, self._design = canvas, DESIGNS[style.style]
        text = "".join(cue.text for cue in cues)
        language = style.language or _language(text)
        family = family_named(style.font) if style.font else family_for(text, language)
        face = bold_face(family)
        self._letters = Lettering(family, metrics(face), language)
        area = safe_area(canvas.width, canvas.height)
        chosen = _UPRIGHT_SIZE if canvas.height > canvas.width else _LANDSCAPE_SIZE
        size = (style.size or chosen * self._design.scale) * min(canvas.width, canvas.height)
        size = min(size, area.height / (2 * self._design.pitch + 0.5))
        edge = _BOX_EDGE * size if self._design.box_opacity else 0.0
        self._grid = Grid(area, style.position, size, size * self._design.pitch, edge)
        self._room = area.width - 2 * size * self._design.padding
        self._states = [*states(cues, canvas.fps, self._room / size, face, bool(self._design.spoken))]
        self._current, self._drawn = 0, -1
        self._layer: Layer | None = None
        self._stack = ExitStack()

    def __enter__(self) -> CaptionOverlay:
        if self._states:
            top, bottom = self._grid.band()
            width, count = self._canvas.width, len(self._states)
            drawing = Drawing(self._write, width, bottom - top, count, self._letters.language)
            self._drawing = self._stack.enter_context(drawing)
        return self

    def _write(self, path: Path) -> None:
        write_ass(path, self._states, self._design, self._grid, self._letters, self._canvas.width)

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self.warnings = _warnings(self._drawing.missing) if self._states else [_NONE]

    def draw(self, index: int, frame: av.VideoFrame) -> av.VideoFrame:
        """A copy of the frame with the caption of its time, or the frame itself if it has none.

        Args:
            index: number of the frame in the film, which must not be lower than in the call before.
            frame: yuv420p, BT.709 in limited range, as large as the canvas.

        Raises:
            RuntimeError: ffmpeg failed.
        """
        while self._current < len(self._states) and self._states[self._current].stop <= index:
            self._current += 1
        if self._current == len(self._states) or index < self._states[self._current].first:
            return frame
        if self._drawn < self._current:
            self._layer = self._next_layer()
        return blended(frame, self._layer) if self._layer else frame

    def _next_layer(self) -> Layer | None:
        """The layer of the current state; those before it are passed over."""
        while self._drawn < self._current:
            image = self._drawing.read()
            self._drawn += 1
        top, _ = self._grid.band()
        image = narrowed(image, self._room)
        if self._design.box_opacity:
            image = self._boxed(image, len(self._states[self._current].lines))
        return layer_of(image, top, self._canvas.height)

    def _boxed(self, image: np.ndarray, lines: int) -> np.ndarray:
        grid, size = self._grid, self._grid.size
        top, _ = grid.band()
        centres = [baseline - top - _CAP_CENTRE * size for baseline in grid.baselines(lines)]
        rows = [(centre - grid.pitch / 2, centre + grid.pitch / 2) for centre in centres]
        padding, radius = self._design.padding * size, _BOX_RADIUS * size
        return boxed(image, rows, padding, radius, self._design.box_opacity)


def _language(text: str) -> str:
    """The language that letters show, if its ideographs have shapes of their own."""
    if re.search("[\u3040-\u30ff]", text):
        return "ja"
    return "ko" if re.search("[\u1100-\u11ff\uac00-\ud7a3]", text) else ""


def _warnings(letters: Sequence[str]) -> list[str]:
    if not letters:
        return []
    shown = " ".join(letters[:20]) + (f" and {len(letters) - 20} more" if len(letters) > 20 else "")
    return [
        "No font of this machine has these letters of the burned-in captions, which are missing or boxes: "
        f"{shown}. Install one that has; on Debian and Ubuntu: apt install {' '.join(packages_for(letters))}."
    ]
