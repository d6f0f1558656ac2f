"""How a benchmark shows its results: as text for people, as JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | None


@dataclass
class Section:
    """Rows under a heading; each row has the same columns, and None is a cell without a value."""

    title: str
    rows: list[dict[str, Cell]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The heading, the columns' names and the rows, aligned to the right."""
        columns = list(self.rows[0]) if self.rows else []
        grid = [columns, *([_shown(row[column]) for column in columns] for row in self.rows)]
        widths = [max(len(line[index]) for line in grid) for index in range(len(columns))]
        aligned = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in grid
        ]
        return [self.title, "-" * max(map(len, aligned)), *aligned]


@dataclass
class Report:
    """A benchmark's results, with notes on how to read them."""

    title: str
    sections: list[Section]
    notes: list[str]

    def text(self) -> str:
        """One table in sections."""
        lines = [self.title]
        for section in self.sections:
            lines += ["", *section.lines()]
        return "\n".join([*lines, "", *(f"* {note}" for note in self.notes)])

    def json(self) -> str:
        """One object: `title`, `sections` (rows by title), `notes`."""
        report: dict[str, Any] = {"title": self.title, "notes": self.notes}
        report["sections"] = {section.title: section.rows for section in self.sections}
        return json.dumps(report, indent=2)


class Progress:
    """Says on stderr what is being measured, and since when."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"[{time.monotonic() - self._start:5.0f} s] {what}", file=sys.stderr, flush=True)


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
