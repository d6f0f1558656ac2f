"""The designs of burned-in captions, and the ASS file that libass draws them from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .burned_layout import Area, Position, Run, State
from .fonts import Metrics
from .libass import escaped
from .text import is_right_to_left

_HEADER = """[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 2
ScaledBorderAndShadow: yes
YCbCr Matrix: None
Language: {language}

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, \
MarginR, MarginV, Encoding
{styles}
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_OWN_DIRECTION = -1
"""An encoding for which libass takes the direction of a line from its first letter."""


class Design(NamedTuple):
    """How captions look. Lengths are in sizes of the letters, opacities from 0 to 1, colours as RRGGBB.

    Attributes:
        fill, spoken: colours of the letters, and of the spoken word.
        scale: of the letters' size where it is chosen.
        pitch: from line to line.
        outline, outline_opacity: a dark line around the letters.
        shadow, shadow_opacity: how far a shadow below the letters is blurred.
        box_opacity: of a dark box behind the lines; 0 is none.
        padding: beside the letters in the box.
    """

    fill: str = "FFFFFF"
    spoken: str = ""
    scale: float = 1.0
    pitch: float = 1.3
    outline: float = 0.0
    outline_opacity: float = 0.0
    shadow: float = 0.0
    shadow_opacity: float = 0.0
    box_opacity: float = 0.0
    padding: float = 0.0


DESIGNS = {
    "clean": Design(outline=0.035, outline_opacity=0.55, shadow=0.11, shadow_opacity=0.75),
    "boxed": Design(pitch=1.52, box_opacity=0.74, padding=0.46),
    "words": Design(
        spoken="FFD83D", scale=1.12, outline=0.06, outline_opacity=0.85, shadow=0.13, shadow_opacity=0.8
    ),
}


class Grid(NamedTuple):
    """Where lines stand.

    Attributes:
        area: where captions may be.
        position: at which end of it.
        size: of the letters, in pixels.
        pitch: from line to line, in pixels.
        edge: pixels from the outer end of a line's own height to its letters.
    """

    area: Area
    position: Position
    size: float
    pitch: float
    edge: float

    def baselines(self, lines: int) -> list[float]:
        """The y of each line of a caption, in pixels of the frame."""
        ascent, descent = 0.95 * self.size + self.edge, 0.25 * self.size + self.edge
        between = self.pitch * (lines - 1)
        last = {
            "bottom": self.area.bottom - descent,
            "middle": (self.area.top + self.area.bottom + between + ascent - descent) / 2,
            "top": self.area.top + ascent + between,
        }[self.position]
        return [last - self.pitch * (lines - 1 - number) for number in range(lines)]

    def band(self) -> tuple[int, int]:
        """The first row that captions of up to two lines can reach, and the one after the last; both even."""
        rows = [row for lines in (1, 2) for row in self.baselines(lines)]
        return 2 * int((min(rows) - 1.8 * self.size) // 2), 2 * int((max(rows) + 1.1 * self.size) // 2 + 1)


class Lettering(NamedTuple):
    """What the letters are: the font's family, its metrics, the language (BCP 47)."""

    family: str
    metrics: Metrics
    language: str


def write_ass(
    path: Path, states: Sequence[State], design: Design, grid: Grid, letters: Lettering, width: int
) -> None:
    """Writes an ASS file that shows one state each second, in the band of the frame that captions reach."""
    top, bottom = grid.band()
    header = _HEADER.format(
        width=width, height=bottom - top, language=letters.language, styles=_styles(design, grid, letters)
    )
    with path.open("w", encoding="utf-8") as file:
        file.write(header)
        for second, state in enumerate(states):
            file.writelines(_events(second, state, design, grid, letters, width))


def _styles(design: Design, grid: Grid, letters: Lettering) -> str:
    size = grid.size * letters.metrics.height
    outline = grid.size * design.outline
    return "".join(
        f"Style: {name},{letters.family},{size:.3f},{fill},{fill},{line},{line},-1,0,0,0,100,100,0,0,1,"
        f"{width:.3f},0,2,0,0,0,{_OWN_DIRECTION}\n"
        for name, fill, line, width in (
            ("Letters", _colour(design.fill), _colour("000000", design.outline_opacity), outline),
            ("Shadow", _colour("000000", design.shadow_opacity), _colour("000000", 0), 0.0),
        )
    )


def _colour(rgb: str, opacity: float = 1.0) -> str:
    return f"&H{round(255 * (1 - opacity)):02X}{rgb[4:6]}{rgb[2:4]}{rgb[0:2]}"


def _events(
    second: int, state: State, design: Design, grid: Grid, letters: Lettering, width: int
) -> Iterator[str]:
    top, _ = grid.band()
    # A mark at the start says how a line runs, also one that starts with letters of another script.
    letters_of_all = "".join(text for line in state.lines for text, _ in line)
    mark = "\u200f" if is_right_to_left(letters_of_all) else "\u200e"
    for runs, baseline in zip(state.lines, grid.baselines(len(state.lines)), strict=True):
        bottom = baseline - top + grid.size * letters.metrics.descent
        if design.shadow:
            plain = escaped("".join(text for text, _ in runs))
            below = bottom + 0.045 * grid.size
            effect = f"{{\\pos({width / 2:.2f},{below:.2f})\\blur{grid.size * design.shadow:.2f}}}"
            yield _event(0, second, "Shadow", effect + mark + plain)
        text = "".join(_run(run, design) for run in runs)
        yield _event(1, second, "Letters", f"{{\\pos({width / 2:.2f},{bottom:.2f})}}{mark}{text}")


def _run(run: Run, design: Design) -> str:
    text, spoken = run
    if not (spoken and design.spoken):
        return escaped(text)
    return f"{{\\1c{_colour(design.spoken)}&}}{escaped(text)}{{\\1c{_colour(design.fill)}&}}"


def _event(layer: int, second: int, style: str, text: str) -> str:
    return f"Dialogue: {layer},{_clock(second)},{_clock(second + 1)},{style},,0,0,0,,{text}\n"


def _clock(second: int) -> str:
    return f"{second // 3600}:{second // 60 % 60:02}:{second % 60:02}.00"
