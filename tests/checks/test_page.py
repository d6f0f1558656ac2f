"""The page about checks has the limits of `thresholds.json`: `python -m tests.checks.test_page`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from story_studio import checks
from story_studio.checks.faces import INSTALL
from story_studio.checks.verdict import Threshold, thresholds

PAGE = Path(checks.__path__[0]) / "README.md"
HELP = PAGE.parents[1] / "web" / "docs"
TABLE = re.compile(r"(?<=<!-- figures -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def table() -> str:
    rows = ["| figure | warning | failure | made again | what is said |", "|---|---|---|---|---|"]
    for figure, entry in thresholds().items():
        sides = [side for side in (entry.above, entry.below) if side]
        said = "; ".join(re.sub(r"{(\w+)[^}]*}", r"*\1*", side.text) for side in sides)
        again = "hint" if entry.hint else "yes" if entry.retake else "no"
        if entry.sure is not None:
            again = f"yes, and a failure, where `{entry.needs}` is {entry.sure:g} or more; else a warning"
        limits = " | ".join(_limits(entry, level) for level in ("warn", "fail"))
        rows.append(f"| `{figure}` | {limits} | {again} | {said} |")
    return "\n".join(rows)


def _limits(entry: Threshold, level: Literal["warn", "fail"]) -> str:
    words = []
    for word, side in (("above", entry.above), ("below", entry.below)):
        limit = getattr(side, level) if side else None
        if limit is not None:
            unit = entry.show.partition("}")[2]
            words.append(f"{word} {100 * limit:g}%" if "%" in entry.show else f"{word} {limit:g}{unit}")
    return ", ".join(words)


def test_the_page_has_all_limits() -> None:
    found = TABLE.search(PAGE.read_text("utf-8"))
    assert found and found[0] == table(), "run `python -m tests.checks.test_page`"


@pytest.mark.parametrize(
    "page",
    [PAGE, HELP / "StoryStudio_CheckClip.md", HELP / "StoryStudio_CheckClip" / "zh.md"],
    ids=lambda page: page.name,
)
def test_pages_have_the_commands_of_the_errors(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()
    assert all(lines.count(command) == 1 for command in INSTALL.split(" && "))


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")
