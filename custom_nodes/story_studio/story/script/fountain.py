"""Fountain screenplays (fountain.io/syntax): a scene for each heading, with its dialogue as lines.

Action is what is seen, so it becomes the prompt and is not read out: a heading with action alone is a silent
scene. What is said off screen is narrated. The parsers on PyPI give no lines and are little used.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field

from .parts import Passage, Script, Spoken, one_line
from .speakers import spoken

_HEADING = re.compile(r"(int\.?/ext|ext\.?/int|i/e|int|ext|est)(?:\.|\s)\s*(.+)", re.IGNORECASE)
_FORCED_HEADING = re.compile(r"\.(?=[^\s.])(.+)")
_SCENE_NUMBER = re.compile(r"\s*#[^#\s]{1,20}#\s*$")
_CUE = re.compile(r"(@)?([^()^]+?)\s*((?:\([^()]*\)\s*)*)(\^)?")
_TRANSITION = re.compile(r"[^a-z]*\b(?:TO:|FADE (?:IN|OUT)[.:]?|FADE TO BLACK[.:]?|BLACKOUT\.)")
_TITLE_KEYS = ("title", "credit", "author", "authors", "source", "draft date", "date", "contact", "copyright")
_TITLE_KEYS += ("notes", "revision", "language")
_END = re.compile(r"(?:the )?end\.?", re.IGNORECASE)
_PAUSES = frozenset(("beat", "pause", "a beat", "long pause", "silence"))
_PLACES = {"int": "interior", "ext": "exterior", "est": "establishing shot, exterior"}
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

Lines = list[tuple[int, str]]


@dataclass
class _Scene:
    """A scene of the screenplay while it is read."""

    line: int
    title: str = ""
    place: str = ""
    synopsis: str = ""
    action: list[str] = field(default_factory=list)
    said: list[Spoken] = field(default_factory=list)
    later: Lines = field(default_factory=list)


def read_fountain(text: str) -> Script:
    """The script in a screenplay."""
    return _Reader(_without_comments(text)).read()


class _Reader:
    def __init__(self, lines: Lines):
        self._lines = lines
        self._at = 0
        self._script = Script()
        self._scene = _Scene(0)
        self._section = ""
        self._has_sections = any(_section(line) for _, line in lines)

    def read(self) -> Script:
        self._read_title_page()
        while self._at < len(self._lines):
            number, line = self._lines[self._at]
            if line:
                self._read_block(number, line)
            else:
                self._at += 1
        self._finish()
        return self._script

    def _read_block(self, number: int, line: str) -> None:
        section = _section(line)
        if re.fullmatch(r"={3,}", line):
            self._at += 1
        elif section:
            self._finish()
            self._section = _plain(section)
            self._at += 1
        elif line.startswith("="):
            self._scene.synopsis = one_line(f"{self._scene.synopsis} {_plain(line.lstrip('= '))}")
            self._at += 1
        elif (heading := _heading(line)) is not None:
            self._finish()
            self._scene = _Scene(number, *heading)
            self._at += 1
        elif line.startswith(">"):
            self._at += 1
            if line.endswith("<") and not _END.fullmatch(line.strip("<> ")):
                what = "centred text is left out: `film.opening` and `film.credits` are the cards of a film."
                self._script.leave_out(number, what)
            elif not line.endswith("<"):
                self._change(line.lstrip("> "))
        elif self._is_alone() and _TRANSITION.fullmatch(line):
            self._at += 1
            self._change(line)
        elif self._is_cue(line):
            self._read_dialogue()
        elif line.startswith("~"):
            self._say(Spoken(_plain(line.lstrip("~ ")), number))
            self._at += 1
        else:
            self._read_action()

    def _read_title_page(self) -> None:
        begin = next((index for index, (_, line) in enumerate(self._lines) if line), len(self._lines))
        if not _title_key(self._lines[begin][1] if begin < len(self._lines) else ""):
            return
        entries: dict[str, list[str]] = {}
        key, self._at = "", begin
        while self._at < len(self._lines) and (line := self._lines[self._at][1]):
            found = _title_key(line)
            key, value = (found, line.partition(":")[2]) if found else (key, line)
            entries.setdefault(key, []).extend([_plain(value)] if value.strip() else [])
            self._at += 1
        self._script.title = " ".join(entries.get("title", []))
        credit = " ".join(entries.get("credit", ["Written by"]))
        authors = entries.get("author", []) + entries.get("authors", [])
        lines = ([f"{credit} {', '.join(authors)}"] if authors else []) + entries.get("source", [])
        self._script.credits = "\n".join(lines)
        language = "".join(entries.get("language", []))
        self._script.language = language if _LANGUAGE.fullmatch(language) else ""

    def _is_alone(self) -> bool:
        before = self._at == 0 or not self._lines[self._at - 1][1]
        return before and (self._at + 1 == len(self._lines) or not self._lines[self._at + 1][1])

    def _is_cue(self, line: str) -> bool:
        """Whether somebody's name stands here: in capitals or forced, below an empty line, above words."""
        is_below_empty = self._at == 0 or not self._lines[self._at - 1][1]
        is_above_words = self._at + 1 < len(self._lines) and self._lines[self._at + 1][1]
        match = _CUE.fullmatch(line)
        if not (match and is_below_empty and is_above_words) or line.startswith("!"):
            return False
        return bool(match[1]) or (match[2].isupper() and not line.endswith(":"))

    def _read_dialogue(self) -> None:
        number, line = self._lines[self._at]
        match = _CUE.fullmatch(line)
        assert match
        name, extension = _plain(match[2]).strip(), ",".join(re.findall(r"\(([^()]*)\)", match[3]))
        if match[4]:
            self._script.leave_out(number, "lines of dual dialogue are said one after the other.")
        words: list[str] = []
        manners: list[str] = []
        self._at += 1
        while self._at < len(self._lines) and (line := self._lines[self._at][1]):
            if line.startswith("(") and line.endswith(")"):
                manners.append(_plain(line[1:-1]))
            else:
                words.append(_plain(line.lstrip("~ ")))
            self._at += 1
        manner = ", ".join(one for one in manners if one.casefold() not in _PAUSES)
        if any(words):
            said = spoken(" ".join(words), number, name, extension)
            said.manner = ", ".join(filter(None, (said.manner, manner)))
            self._say(said)

    def _read_action(self) -> None:
        number, _ = self._lines[self._at]
        block = []
        while self._at < len(self._lines) and (line := self._lines[self._at][1]):
            block.append(line.removeprefix("!"))
            self._at += 1
        text = _plain(" ".join(block))
        if not text or _END.fullmatch(text):
            return
        if self._scene.said:
            self._scene.later.append((number, text))
        else:
            self._scene.line = self._scene.line or number
            self._scene.action.append(text)

    def _say(self, said: Spoken) -> None:
        """Adds words to the scene; what happens before them, amid a dialogue, happens in their shot."""
        meanwhile = " ".join(text for _, text in self._scene.later)
        said.manner = ". ".join(filter(None, (meanwhile.rstrip("."), said.manner)))
        self._scene.later = []
        self._scene.line = self._scene.line or said.line
        self._scene.said.append(said)

    def _change(self, transition: str) -> None:
        """A transition: how the scene that ends here is followed by the next."""
        self._finish()
        word = transition.upper()
        kind = "crossfade" if "DISSOLVE" in word else "dip" if "FADE" in word or "BLACK" in word else "cut"
        if self._script.passages and "FADE IN" not in word:
            self._script.passages[-1].fields["transition"] = kind

    def _finish(self) -> None:
        scene, self._scene = self._scene, _Scene(0, place=self._scene.place)
        if not (scene.action or scene.said or scene.synopsis or scene.title):
            return
        title = self._section if self._has_sections else scene.title
        self._section = ""
        shown = _sentences(scene.place, " ".join(scene.action) or scene.synopsis)
        self._script.passages.append(Passage(scene.line, scene.said, shown, title=title))
        if scene.later:
            line, text = scene.later[0][0], " ".join(text for _, text in scene.later)
            self._script.passages.append(Passage(line, shown=_sentences(scene.place, text)))
        for passage in self._script.passages[-2:]:
            _note_looks(self._script, passage.shown)


def _note_looks(script: Script, shown: str) -> None:
    """Remembers the sentence that first names somebody in capitals, as screenplays introduce people."""
    for match in re.finditer(r"\b([^\W\d_]{2,}(?: [^\W\d_]{2,})*)\b(?=[ ,]*\()", shown):
        words = match[1].split()
        name = " ".join(word for word in words if word.isupper())
        if name and name.casefold() not in script.looks:
            end = re.compile(r"[.!?](?:\s|$)").search(shown, match.end())
            script.looks[name.casefold()] = shown[match.start() : end.start() if end else len(shown)]


def _without_comments(text: str) -> Lines:
    """The stripped lines without boneyard and notes; a line of nothing else is no empty line."""
    text = _cut(_cut(text, "/*", "*/"), "[[", "]]")
    numbered = ((number, line) for number, line in enumerate(text.split("\n"), 1))
    return [
        (number, line.replace("\0", "").strip())
        for number, line in numbered
        if "\0" not in line or line.replace("\0", "").strip()
    ]


def _cut(text: str, begin: str, end: str) -> str:
    """A text without what stands between two marks; NUL marks the lines that were changed."""
    parts, at = [], 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
        stop += len(end)
        parts += [text[at:start], "\0", "\n\0" * text.count("\n", start, stop)]
        at = stop
    return "".join((*parts, text[at:]))


def _section(line: str) -> str:
    return line.lstrip("#").strip() if line.startswith("#") else ""


def _heading(line: str) -> tuple[str, str] | None:
    """The title and the place of a scene's heading; None if the line is none."""
    line = _SCENE_NUMBER.sub("", line)
    forced, match = _FORCED_HEADING.fullmatch(line), _HEADING.fullmatch(line)
    if forced:
        match = _HEADING.fullmatch(forced[1])
    if not forced and not match:
        return None
    rest = _plain(match[2] if match else forced[1] if forced else "").strip(" .")
    inside = " and ".join(_PLACES[part] for part in _sides(match[1])) if match else ""
    parts = [part.strip() for part in re.split(r"\s[-–—]+\s", rest) if part.strip()]
    where = ", ".join(part.lower() if part.isupper() else part for part in parts)
    title = " - ".join(string.capwords(part) if part.isupper() else part for part in parts)
    return title, (f"{inside}, {where}" if inside else where)


def _sides(written: str) -> list[str]:
    return {"i/e": ["int", "ext"]}.get(written.lower(), written.lower().replace(".", "").split("/"))


def _title_key(line: str) -> str:
    key = line.partition(":")[0].strip().lower()
    return key if ":" in line and key in _TITLE_KEYS else ""


def _plain(text: str) -> str:
    """A text without emphasis."""
    text = re.sub(r"(?<!\\)\*+|(?<![\w\\])_+|(?<!\\)_+(?!\w)", "", text)
    return one_line(re.sub(r"\\([*_])", r"\1", text))


def _sentences(*parts: str) -> str:
    found = (f"{part[0].upper()}{part[1:]}".rstrip(".") for part in parts if part)
    return ". ".join(found)
