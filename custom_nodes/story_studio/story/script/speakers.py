"""Who says a line: labels such as `Mara: Who is there?`, and extensions such as (V.O.)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .parts import Passage, Spoken, one_line

_LABEL = re.compile(r"([^\W\d_][^:：\n]{0,59}?) ?(?::(?= )|：) *(\S.*)")
_EXTENSIONS = re.compile(r"\(([^()]*)\)")
_NOT_IN_NAMES = re.compile(r"""[!?,;"“”„«»\[\]{}<>/=#*|]|\.(?! |$)|://""")
_MOST_WORDS = 4
_OFF = frozenset(("vo", "os", "oc", "off", "off screen", "offscreen", "voice over", "voiceover", "filtered"))
_CONTINUED = frozenset(("contd", "cont", "continued", "continuing", "weiter", "suite"))
_NARRATORS = frozenset(
    (
        *("narrator", "narration", "voiceover", "voice over", "vo", "announcer"),
        *("erzähler", "erzählerin", "sprecher", "sprecherin", "narrateur", "narratrice"),
        *("narrador", "narradora", "narratore", "рассказчик", "旁白", "ナレーター", "ナレーション"),
    )
)


class Label(NamedTuple):
    """A name before a colon, with what stands in parentheses behind it, and the words that follow."""

    name: str
    extension: str
    text: str


def label_of(line: str) -> Label | None:
    """The label that a line begins with, if it can be one: up to four words, beginning with a capital letter
    or with one of an alphabet without capitals."""
    match = _LABEL.fullmatch(line.strip())
    if not match:
        return None
    extension = " ".join(_EXTENSIONS.findall(match[1]))
    name = one_line(_EXTENSIONS.sub(" ", match[1]))
    if not name or name[0].islower() or len(name.split()) > _MOST_WORDS or _NOT_IN_NAMES.search(name):
        return None
    return Label(name, extension, match[2])


def speakers_in(paragraphs: Iterable[list[str]]) -> frozenset[str]:
    """The names, case-folded, that label lines of dialogue rather than anything else with a colon.

    Names that come again are speakers, if there are two, or they label half of the lines, or somebody answers
    one of them in a paragraph of labelled lines alone. A name that comes once is one among lines that
    speakers say.
    """
    counted: Counter[str] = Counter()
    blocks: list[set[str]] = []
    lines, talks = 0, False
    for paragraph in paragraphs:
        names = [label.name.casefold() for line in paragraph if (label := label_of(line))]
        counted.update(names)
        lines += len(paragraph)
        if len(names) == len(paragraph):
            blocks.append({*names})
            talks = talks or 1 < len({*names}) < len(names)
    again = {name for name, count in counted.items() if count > 1}
    is_rare = len(again) < 2 and 2 * sum(counted[name] for name in again) < lines
    if is_rare and not talks and not again & _NARRATORS:
        return frozenset()
    return frozenset(again.union(*(names for names in blocks if names & again)))


def spoken_in(lines: Iterable[tuple[int, str]], speakers: frozenset[str]) -> list[Spoken]:
    """The words of a paragraph, by who says them; a line without a label goes on with the one before."""
    said: list[Spoken] = []
    for number, line in lines:
        label = label_of(line)
        if label and label.name.casefold() in speakers:
            said.append(spoken(label.text, number, label.name, label.extension))
        elif said:
            said[-1].text = f"{said[-1].text} {one_line(line)}"
        else:
            said.append(Spoken(one_line(line), number))
    return said


def spoken(text: str, line: int, name: str, extension: str = "") -> Spoken:
    """Words by the name of who says them, and the extension of that name."""
    is_off, manner = _read_extension(extension)
    begin = re.match(r"\(([^()]{1,100})\)\s*(?=\S)", text)
    if begin:
        manner, text = ", ".join(filter(None, (manner, begin[1].strip()))), text[begin.end() :]
    speaker = "" if is_narrator(name) else name
    return Spoken(one_line(text), line, speaker, is_off and bool(speaker), one_line(manner))


def is_narrator(name: str) -> bool:
    """Whether a name is that of nobody who is seen: Narrator, V.O."""
    return re.sub(r"[.\-]", "", name).casefold() in _NARRATORS


def _read_extension(extension: str) -> tuple[bool, str]:
    """Whether it says that the speaker is off screen, and what else it says."""
    is_off, rest = False, []
    for part in re.split(r"[,/]", extension):
        plain = re.sub(r"[.'’]", "", part).replace("-", " ").strip().casefold()
        if plain in _OFF:
            is_off = True
        elif plain and plain not in _CONTINUED:
            rest.append(part.strip().lower())
    return is_off, ", ".join(rest)


def passage_of(lines: list[tuple[int, str]], speakers: frozenset[str]) -> Passage:
    """A paragraph as a passage."""
    return Passage(lines[0][0], spoken_in(lines, speakers))
