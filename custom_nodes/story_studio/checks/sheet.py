"""The sheet of a check: verdict, findings, worst moments, a timeline and the main figures on one image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from ..media.cards.contact_sheet import ACCENT, BRIGHT, GROUND, PANEL, SOFT, paste
from ..media.cards.lettering import LEADING, Block, Face, fitted
from .figures import Figures, Span
from .moments import Moment
from .verdict import Finding, Level, Verdict, clock, thresholds, worst_readings

_WIDTH, _MARGIN, _GAP = 1640, 44, 20
_TITLE, _TEXT, _SMALL = 38.0, 19.0, 16.0
_RED, _GREEN, _BLUE = (226, 99, 86), (136, 184, 130), (124, 160, 196)
_VERDICTS = {"pass": _GREEN, "warn": ACCENT, "fail": _RED}
_LEVELS: dict[Level | None, tuple[int, int, int]] = {"fail": _RED, "warn": ACCENT, "hint": _BLUE, None: SOFT}
_TRACK = (52, 52, 56)
_MOST_SENTENCES = 7
_TABLE = (
    *("sync.offset_frames", "sync.confidence", "identity.similarity", "face.present", "frames.flicker"),
    *("frames.sharpness", "color.drift", "seams.largest", "voice.loudness", "voice.speech_to_noise"),
)
_INNER = _WIDTH - 2 * _MARGIN


class _Line(NamedTuple):
    """A sentence below the title and the colour of the point before it."""

    text: str
    color: tuple[int, int, int]


def columns_of(figures: Figures) -> int:
    """How many moments stand in a row: 4 of a wide clip, 8 of an upright one."""
    return 4 if figures.width >= 0.9 * figures.height else 8


def draw(
    name: str,
    verdict: Verdict,
    findings: Sequence[Finding],
    figures: Figures,
    moments: Sequence[Moment],
    frames: Mapping[float, Image.Image],
) -> Image.Image:
    """Draws the sheet, RGB, 1640 pixels wide.

    Args:
        name: of the clip.
        moments: in the order of time.
        frames: the images at the times of `moments` and of those beside them. A cell without one is empty.
    """
    lines = [*_sentences(findings, figures)]
    columns = columns_of(figures)
    cell = (_INNER - (columns - 1) * _GAP) // columns
    thumb = round(cell * min(2.0, (figures.height or 9) / (figures.width or 16)))
    caption = round(_SMALL * LEADING * (2.4 if columns == 4 else 3.0))
    rows = -(-len(moments) // columns)
    top = _MARGIN + 84 + round(len(lines) * _TEXT * LEADING * 1.1) + 26
    grid_height = rows * (thumb + caption + _GAP)
    timeline = top + grid_height + 8
    table = timeline + 132
    sheet = Image.new("RGB", (_WIDTH, table + 66 + _MARGIN), GROUND)
    _draw_title(sheet, name, verdict, figures)
    _draw_sentences(sheet, lines)
    for index, moment in enumerate(moments):
        row, column = divmod(index, columns)
        x, y = _MARGIN + column * (cell + _GAP), top + row * (thumb + caption + _GAP)
        _draw_moment(sheet, index + 1, moment, frames, x, y, (cell, thumb))
    _draw_timeline(sheet, timeline, figures, moments)
    _draw_table(sheet, table, figures, findings)
    return sheet


def _sentences(findings: Sequence[Finding], figures: Figures) -> Iterator[_Line]:
    lines = [_Line(_sentence(finding), _LEVELS[finding.level]) for finding in findings]
    if not any(finding.level != "hint" for finding in findings):
        lines.insert(0, _Line("Nothing is beyond its limits.", _GREEN))
    lines += [_Line(f"Not measured: {why}", SOFT) for why in figures.missing]
    yield from lines[:_MOST_SENTENCES]
    if (more := len(lines) - _MOST_SENTENCES) > 0:
        yield _Line(f"and {more} more.", SOFT)


def _sentence(finding: Finding) -> str:
    text = f"{finding.text[0].upper()}{finding.text[1:]}"
    return f"{text} (a hint)." if finding.level == "hint" else f"{text}."


def _draw_title(sheet: Image.Image, name: str, verdict: Verdict, figures: Figures) -> None:
    mark = Block((verdict.upper(),), Face(), 22, tracking=0.12)
    width = round(mark.width + 44)
    left = _WIDTH - _MARGIN - width
    box = (left, _MARGIN, _WIDTH - _MARGIN, _MARGIN + 46)
    ImageDraw.Draw(sheet).rounded_rectangle(box, 8, fill=_VERDICTS[verdict])
    mark.draw(sheet, left + 22, _MARGIN + 23 - 11 * LEADING, GROUND)
    title = fitted(name, left - _MARGIN - 30, _TITLE * LEADING, _TITLE, 18)
    title.draw(sheet, _MARGIN, _MARGIN - 8, BRIGHT)
    facts = [f"{figures.width} x {figures.height}", f"{figures.fps:g} fps", f"{figures.lengths.video:.1f} s"]
    _write(sheet, _MARGIN, _MARGIN + 44, "   ".join(facts), _SMALL, SOFT)


def _draw_sentences(sheet: Image.Image, lines: Sequence[_Line]) -> None:
    y, step = _MARGIN + 84.0, _TEXT * LEADING * 1.1
    for line in lines:
        _draw_dot(sheet, _MARGIN + 7, round(y + _TEXT * LEADING / 2), 6, line.color)
        color = SOFT if line.color == SOFT else BRIGHT
        _write(sheet, _MARGIN + 26, y, line.text, _TEXT, color, _INNER - 28)
        y += step


def _draw_dot(sheet: Image.Image, x: int, y: int, radius: int, color: tuple[int, int, int]) -> None:
    finer = 8
    side = (2 * radius + 1) * finer
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    sheet.paste(color, (x - radius, y - radius), mask.reduce(finer))


def _draw_moment(
    sheet: Image.Image,
    number: int,
    moment: Moment,
    frames: Mapping[float, Image.Image],
    x: int,
    y: int,
    size: tuple[int, int],
) -> None:
    width, height = size
    color = _LEVELS[moment.level]
    if image := frames.get(moment.at):
        paste(sheet, image, x, y, width, height)
    else:
        sheet.paste(PANEL, (x, y, x + width, y + height))
    if moment.beside is not None and (other := frames.get(moment.beside)):
        _draw_inset(sheet, other, moment.compared_with, x, y, size)
    if moment.level:
        ImageDraw.Draw(sheet).rectangle((x, y + height, x + width - 1, y + height + 3), fill=color)
    y += height + 8
    line = _SMALL * LEADING
    _badge(sheet, x, round(y + line / 2), number, color)
    _write(sheet, x + 32, y, f"{clock(moment.at)}.{int(moment.at * 10) % 10}", _SMALL, BRIGHT)
    if not moment.text:
        return
    if width > 250:
        _write(sheet, x + 96, y, moment.text, _SMALL, color, width - 100)
    else:
        _write(sheet, x, y + line, moment.text, _SMALL, color, width)


def _draw_inset(
    sheet: Image.Image, image: Image.Image, what: str, x: int, y: int, size: tuple[int, int]
) -> None:
    """The frame that a moment is compared with, in the cell's lower left corner."""
    width, height = round(0.34 * size[0]), round(0.34 * size[1])
    top = y + size[1] - height
    sheet.paste(GROUND, (x, top - 4, x + width + 4, top + height))
    paste(sheet, image, x, top, width, height)
    word = Block((what,), Face(), 13)
    high = round(13 * LEADING)
    sheet.paste(GROUND, (x, top - high - 2, round(x + word.width + 10), top))
    word.draw(sheet, x + 4, top - high - 2, SOFT)


def _badge(sheet: Image.Image, x: int, y: int, number: int, color: tuple[int, int, int]) -> None:
    """The number of a moment in a disc whose left edge is at x and whose middle is at y."""
    _draw_dot(sheet, x + 11, y, 11, color)
    word = Block((str(number),), Face(), 14)
    word.draw(sheet, x + 11.5 - word.width / 2, y - 7 * LEADING, GROUND)


def _draw_timeline(sheet: Image.Image, y: int, figures: Figures, moments: Sequence[Moment]) -> None:
    """Bars for the face, the voice and the faults along the clip, with the moments' numbers below."""
    label, length = 96, max(figures.lengths.video, 0.1)
    left, right = _MARGIN + label, _WIDTH - _MARGIN

    def place(seconds: float) -> int:
        return round(left + (right - left) * min(max(seconds / length, 0.0), 1.0))

    rows: list[tuple[str, tuple[int, int, int], Sequence[Span]]] = []
    if figures.face:
        rows.append(("face", _GREEN, _present(figures.face.lost, length) if figures.face.present else []))
    if figures.voice:
        rows.append(("voice", _BLUE, figures.voice.speech))
    rows.append(("faults", _RED, [*figures.frames.frozen, *figures.frames.black]))
    draw = ImageDraw.Draw(sheet)
    for name, color, spans in rows:
        _write(sheet, _MARGIN, y - 4, name, _SMALL, SOFT)
        draw.rounded_rectangle((left, y, right, y + 12), 4, fill=_TRACK)
        for span in spans:
            draw.rounded_rectangle(
                (place(span.start), y, max(place(span.end), place(span.start) + 3), y + 12), 4, fill=color
            )
        y += 24
    for number, moment in enumerate(moments, 1):
        x = place(moment.at)
        draw.line((x, y - 6, x, y + 4), fill=_LEVELS[moment.level], width=2)
        _badge(sheet, min(x, right - 11) - 11, y + 14, number, _LEVELS[moment.level])
    _write(sheet, _MARGIN, y + 14 - _SMALL * LEADING / 2, f"0:00 to {clock(length)}", 13, SOFT)


def _present(lost: Sequence[Span], length: float) -> list[Span]:
    """What is left of a clip between the spans in which there is no face."""
    edges = [0.0, *(edge for span in lost for edge in (span.start, span.end)), length]
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return [Span(start=start, end=end) for start, end in pairs if end > start]


def _draw_table(sheet: Image.Image, y: int, figures: Figures, findings: Sequence[Finding]) -> None:
    """The main figures, each with its name above; those with a finding in its colour."""
    worst = worst_readings(figures)
    levels: dict[str, Level] = {finding.figure: finding.level for finding in findings}
    names = [figure for figure in _TABLE if figure in worst]
    ImageDraw.Draw(sheet).line((_MARGIN, y, _WIDTH - _MARGIN, y), fill=_TRACK, width=2)
    step = _INNER / len(_TABLE)
    for index, figure in enumerate(names):
        limit, x = thresholds()[figure], _MARGIN + index * step
        level = levels.get(figure)
        color = _LEVELS[level] if level else BRIGHT
        _write(sheet, x, y + 14, limit.name, 14, SOFT, step - 8)
        _write(sheet, x, y + 34, limit.shown(worst[figure].value), 18, color, step - 8)


def _write(
    sheet: Image.Image,
    x: float,
    y: float,
    text: str,
    size: float,
    color: tuple[int, int, int],
    room: float = math.inf,
) -> None:
    """Writes one of our own texts on a line, smaller where it is wider than `room` pixels."""
    line = Block((text,), Face(), size)
    if line.width > room:
        line = Block((text,), Face(), size * room / line.width)
    line.draw(sheet, x, y + (size - line.size) * LEADING / 2, color)
