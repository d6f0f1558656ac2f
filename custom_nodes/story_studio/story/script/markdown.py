"""Markdown: a scene for each paragraph or item of a list; headings begin chapters."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ..part import LANGUAGE
from .parts import Passage, Script
from .speakers import passage_of, speakers_in

_FRONT_MATTER = re.compile(r"\A---[ ]*\n(.*?\n)(?:---|\.\.\.)[ ]*(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"(title|author|authors|lang|language)\s*:\s*(.+)", re.IGNORECASE)
_LEFT_OUT = {
    "fence": "code blocks are left out: nobody can say them.",
    "code_block": "code blocks are left out: nobody can say them.",
    "html_block": "HTML is left out.",
    "table_open": "tables are left out: save a table of scenes as CSV, and begin with that.",
}
_SECONDS = 4


def read_markdown(text: str) -> Script:
    """The script in a Markdown text."""
    script = Script()
    if match := _FRONT_MATTER.match(text):
        _read_front_matter(match[1], script)
        # Lines keep their numbers.
        text = "\n" * match[0].count("\n") + text[match.end() :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    blocks = _blocks(tokens, script)
    main = [title for tag, title, _, _ in blocks if tag == "h1"]
    if len(main) == 1 and blocks[0][0] == "h1":
        script.title = script.title or main[0]
        del blocks[0]
    speakers = speakers_in(texts.split("\n") for tag, texts, _, _ in blocks if tag == "p" and texts)
    chapter, image = "", ("", "")
    for tag, texts, line, own_image in blocks:
        if tag != "p":
            _add_image(script, image, line)
            chapter, image = texts, ("", "")
            continue
        image = own_image if own_image[0] else image
        if not texts:
            continue
        numbered = [(number, part.strip()) for number, part in enumerate(texts.split("\n"), line)]
        passage = passage_of(numbered, speakers)
        passage.title, chapter = chapter, ""
        _show(passage, image)
        image = ("", "")
        script.passages.append(passage)
    _add_image(script, image, 1)
    return script


Block = tuple[str, str, int, tuple[str, str]]
"""The tag of a heading, or `p`; its text; its line; the address of an image in it, and what that shows."""


def _blocks(tokens: list[Token], script: Script) -> list[Block]:
    blocks: list[Block] = []
    in_table = False
    for before, token in zip([None, *tokens], tokens, strict=False):
        line = token.map[0] + 1 if token.map else 0
        in_table = token.type != "table_close" and (in_table or token.type == "table_open")
        if token.type in _LEFT_OUT:
            script.leave_out(line, _LEFT_OUT[token.type])
        elif token.type == "inline" and before and not in_table:
            texts, image = _plain(token.children or [])
            if texts or image[0]:
                blocks.append((before.tag, texts, line, image))
    return blocks


def _plain(children: list[Token]) -> tuple[str, tuple[str, str]]:
    """The text of a paragraph without emphasis and links, and the first image in it."""
    parts, image = [], ("", "")
    for child in children:
        if child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "image":
            image = image if image[0] else (str(child.attrs.get("src", "")), child.content)
        elif child.type in ("text", "code_inline", "text_special"):
            parts.append(child.content)
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(lines).strip(), image


def _show(passage: Passage, image: tuple[str, str]) -> None:
    source, shown = image
    if source:
        passage.fields["image"] = source
        passage.shown = shown


def _add_image(script: Script, image: tuple[str, str], line: int) -> None:
    """An image that nothing is said about is a silent scene."""
    if image[0]:
        passage = Passage(line, fields={"seconds": _SECONDS})
        _show(passage, image)
        script.passages.append(passage)


def _read_front_matter(text: str, script: Script) -> None:
    for line in text.split("\n"):
        if not (match := _ENTRY.fullmatch(line.strip())):
            continue
        key, value = match[1].lower(), match[2].strip().strip("\"'")
        if key == "title":
            script.title = value
        elif key.startswith("author"):
            script.credits = value.strip("[]")
        elif re.fullmatch(LANGUAGE, value):
            script.language = value
