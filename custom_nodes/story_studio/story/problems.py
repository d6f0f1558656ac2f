"""Errors in what a user has written, collected so that all are reported together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

_PATH = re.compile(r"(?<![\w:/.-])/(?:[^\s/'\":;,]+/)+([^\s/'\":;,]*)")


class Problem(NamedTuple):
    """One error.

    Attributes:
        where: the place in the user's file, such as `scenes[1].audio`, with the line if it is known.
        what: what is wrong and what to do, in one sentence.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Problems(Exception):
    """All errors in a story or request; nothing was rendered."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: the most similar known name, or all of them."""
    known = sorted(known)
    by_lower_case = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"did you mean {by_lower_case[close[0]]!r}?" if close else f"known: {', '.join(known)}."


def without_folders(text: str) -> str:
    """Strips the folders from absolute paths in a text that leaves this machine."""
    return _PATH.sub(r"\1", text)
