"""A story as commented YAML, for somebody who goes on writing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

SCHEMA_FILE = "story.schema.json"
"""The JSON Schema of stories, which is written beside a story file for editors."""
_WIDTH = 110
_FOLDED = 70
"""Characters from which on a text has lines of its own."""
_COMMENTS = {
    "title": "What viewers see: the film's title.",
    "project_id": 'What files are called: letters, digits, "_", "." and "-", 64 at most.',
    "profile": "draft: painted cards that move, in seconds, on any machine. turbo, standard and "
    "quality: real images and video.",
    "language": "The language of what is said.",
    "characters": "Who is in the story. {key} in a prompt stands for the description, so that everybody "
    "looks the same in every scene. `reference: FILE` gives a face, `voice: NAME` a voice.",
    "scenes": "The scenes, in the order of the film.",
    "film": "How the clips become one film: see workflows/film.md.",
}
_STYLE = """\
# How everything looks. It is joined to the prompt of every scene, so write it once, here.
# style: cinematic photograph, 50mm lens, shallow depth of field, soft film grain
"""
_OF_SCENES = {
    "prompt": "what the image shows. For somebody who talks: one person, the whole face in view, close, "
    "facing the camera.",
    "text": "what is said. Without `audio`, a recording, it is spoken by a voice that is made here.",
    "kind": "narrated: the voice plays over a moving image, and nobody's lips move.",
    "character": "who speaks, a key of `characters`.",
    "lines": "a dialogue: a shot for each line, cut between the speakers.",
    "audio": "the voice, a file beside this one or an http(s) address. The scene is as long as it.",
    "seconds": "the length of a silent scene.",
    "clip": "your own clip. `from` and `to` trim it, in seconds; `mute: true` leaves out its sound.",
    "continues": "it belongs to the chapter of the scene before.",
}
_ORDER = ("title", "project_id", "language", "profile", "characters", "scenes", "film")


def yaml_of(data: dict[str, Any], header: list[str]) -> str:
    """A story file.

    Args:
        data: the story's data.
        header: sentences for the top of the file.
    """
    begin = [f"# yaml-language-server: $schema={SCHEMA_FILE}", *(f"# {line}".rstrip() for line in header)]
    return "\n".join(begin) + "\n\n" + "\n".join(_sections(data))


def _sections(data: dict[str, Any]) -> Iterator[str]:
    for name in (*_ORDER, *(name for name in data if name not in _ORDER)):
        if name == "characters":
            yield _STYLE
        if name not in data:
            continue
        comment = "".join(f"# {line}\n" for line in _wrapped(_COMMENTS.get(name, "")))
        yield comment + (_scenes(data[name]) if name == "scenes" else _dump({name: data[name]}))


def _scenes(scenes: list[dict[str, Any]]) -> str:
    explained: set[str] = set()
    items = []
    for scene in scenes:
        lines = [f"  {line}" for line in _dump([scene]).splitlines()]
        items.append("\n".join(_explained(lines, explained)) + "\n")
    return "scenes:\n" + "\n".join(items)


def _explained(lines: list[str], explained: set[str]) -> Iterator[str]:
    """The lines of a scene, each key of which is explained where it first stands."""
    for line in lines:
        key = line[4:].partition(":")[0]
        if line[:4] == "    " and key in _OF_SCENES and key not in explained:
            explained.add(key)
            yield from (f"    # {part}" for part in _wrapped(f"{key}: {_OF_SCENES[key]}"))
        yield line


def _wrapped(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) >= _WIDTH - 6:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


class _Dumper(yaml.SafeDumper):
    """Long texts stand below their keys, and what is in a list is indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > _FOLDED else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_WIDTH)
