"""Problems with what a user gave: gathered, so that all of them are reported at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

_PATH = re.compile(r"(?<![\w:/.-])/(?:[^\s/'\":;,]+/)+([^\s/'\":;,]*)")


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        where: the place in the user's file, like `scenes[1].audio` (with the line, if it is known).
        what: what is wrong and what to do, one sentence.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Problems(Exception):
    """Everything that is wrong with what was given; nothing was rendered."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is nearest to a mistyped one, or at all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}."


def without_folders(text: str) -> str:
    """A text for strangers: paths of this machine without their folders."""
    return _PATH.sub(r"\1", text)
