"""A script as the data of a story, with the line that every value comes from."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from ..places import Place
from ..problems import Problem, Problems
from ..scene import DEFAULT_VIDEO_PROMPT, UNWRITTEN
from ..schema import MAX_SCENES
from .parts import Passage, Script, Spoken, slug

_SILENT_SECONDS = 4
_MAX_ID = 48
_QUOTED = 200
"""Characters of a text that a prompt to fill in quotes."""
_LONGEST_NAME = 64


class Assembled(NamedTuple):
    """The data of a story, and the place in the script of each value."""

    data: dict[str, Any]
    place: Place


def assemble(script: Script) -> Assembled:
    """The story of a script.

    Raises:
        Problems: it has no scenes, or too many.
    """
    if not script.passages:
        raise Problems([Problem("", "has nothing to show or to say: write a paragraph for each scene.")])
    if len(script.passages) > MAX_SCENES:
        raise _too_many(script.passages)
    people = _People(script)
    pieces = [piece for passage in script.passages for piece in _pieces(passage)]
    if len(pieces) > MAX_SCENES:
        raise _too_many(pieces)
    ids = _Ids()
    has_chapters = any(passage.title for passage in script.passages)
    scenes, places = [], Place(1)
    for number, piece in enumerate(pieces):
        scene = _scene(piece, ids.of(piece, number + 1), people)
        if has_chapters and not piece.title and number:
            scene["continues"] = True
        scenes.append(scene)
        places.inside[number] = _place(piece, scene)
    data: dict[str, Any] = {}
    if script.title:
        data["title"] = script.title[:200]
    if script.language:
        data["language"] = script.language
    if people.characters:
        data["characters"] = people.characters
    data["scenes"] = scenes
    film = {"opening": True} if script.title else {}
    film |= {"credits": script.credits[:2000]} if script.credits else {}
    film |= {} if has_chapters else {"chapters": False}
    return Assembled(data | ({"film": film} if film else {}), Place(1, inside={"scenes": places}))


def _too_many(pieces: Sequence[Passage]) -> Problems:
    what = f"begins scene {MAX_SCENES + 1} of {len(pieces)}, and a story has {MAX_SCENES} at most: split it."
    return Problems([Problem(f"line {pieces[MAX_SCENES].line}", what)])


class _People:
    """The characters of a story, by the names that the script has for them."""

    def __init__(self, script: Script):
        self.characters: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._script = script
        names = [said.speaker for passage in script.passages for said in passage.said]
        names += [passage.fields.get("speaker", "") for passage in script.passages]
        for name in filter(None, names):
            self.key_of(name)
        known = sorted(self._keys, key=len, reverse=True)
        pattern = "|".join(map(re.escape, known))
        self._in_text = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) if known else None

    def key_of(self, name: str) -> str:
        """The key of a name; empty for no name."""
        folded = name.casefold()
        if name and folded not in self._keys:
            base = slug(name, 40).replace("-", "_") or f"speaker_{len(self.characters) + 1}"
            key, number = base, 2
            while key in self.characters:
                key, number = f"{base}_{number}", number + 1
            shown = string.capwords(name) if name.isupper() else name
            self._keys[folded] = key
            self.characters[key] = {"name": shown[:100], "description": self._description(shown, folded)}
        return self._keys.get(folded, "")

    def _description(self, name: str, folded: str) -> str:
        looks = self._script.looks.get(folded, "")
        says = f" The script says: {_braceless(looks[:_QUOTED])}." if looks else ""
        return f"{UNWRITTEN}: what {name[:_LONGEST_NAME]} looks like: age, face, hair, clothes.{says}"

    def named_in(self, text: str) -> str:
        """A text with the names in it, where they begin with a capital letter, as `{key}`."""
        text = _braceless(text)
        if self._in_text is None:
            return text

        def mark(match: re.Match[str]) -> str:
            key = self._keys.get(match[0].casefold(), "")
            return f"{{{key}}}" if key and not match[0][0].islower() else match[0]

        return self._in_text.sub(mark, text)


class _Ids:
    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, piece: Passage, number: int) -> str:
        """A new id: as the script has it, from the title, or the number of the scene."""
        base = piece.id if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}", piece.id) else slug(piece.id)
        base = f"scene_{base}" if base.isdecimal() else base
        base = base or slug(piece.title) or f"scene_{number}"
        found, again = base[:_MAX_ID], 2
        while found.lower() in self._taken:
            found, again = f"{base[:_MAX_ID]}-{again}", again + 1
        self._taken.add(found.lower())
        return found


def _pieces(passage: Passage) -> Iterator[Passage]:
    """A passage, divided where somebody speaks off screen."""
    said: list[Spoken] = []
    for one in passage.said:
        if said and (one.speaker, one.is_off) == (said[-1].speaker, said[-1].is_off):
            said[-1].text += f" {one.text}"
            said[-1].manner = ". ".join(filter(None, (said[-1].manner, one.manner)))
        else:
            said.append(one)
    groups = [[*group] for _, group in groupby(said, lambda one: (one.is_off, one.is_off and one.speaker))]
    for number, group in enumerate(groups or [[]]):
        is_first, is_last = number == 0, number >= len(groups) - 1
        # How a scene is followed belongs to the last piece.
        fields = {
            name: value
            for name, value in passage.fields.items()
            if is_last or name not in ("transition", "pause_after")
        }
        title, line = passage.title if is_first else "", passage.line if is_first else group[0].line
        yield replace(passage, line=line, said=group, title=title, fields=fields)


def _scene(piece: Passage, scene_id: str, people: _People) -> dict[str, Any]:
    said, shown = piece.said, people.named_in(piece.shown)
    scene: dict[str, Any] = {"id": scene_id}
    if piece.title:
        scene["title"] = piece.title[:200]
    speakers = {one.speaker for one in said}
    if len(speakers) > 1:
        prompt = shown or _unwritten("the place of this dialogue, its light and time of day", said)
        scene |= {"prompt": prompt, "lines": [_line(one, people) for one in said]}
    elif said and (speaker := said[0].speaker) and not said[0].is_off:
        mark = f"{{{people.key_of(speaker)}}}"
        close = f"Chest-up portrait of {mark}, facing the camera"
        close_up = shown if piece.is_prompt and mark in shown else f"{close}, {shown}"
        scene["prompt"] = close_up if shown else _unwritten(f"{close}: where, and in what light", said)
        scene |= {"character": people.key_of(speaker), "text": said[0].text, **_manner(said[0], people)}
    elif said:
        scene["kind"] = "narrated"
        scene["prompt"] = shown or _unwritten("what is seen while this is said", said)
        scene |= {"character": people.key_of(said[0].speaker)} if said[0].speaker else {}
        scene |= {"text": said[0].text}
    elif "clip" in piece.fields:
        scene |= {"prompt": shown} if shown else {}
    else:
        scene["prompt"] = shown or f"{UNWRITTEN}: {_to_write(piece, people)}."
        scene |= {} if {"audio", "seconds"} & {*piece.fields} else {"seconds": _SILENT_SECONDS}
    if "audio" in piece.fields and "speaker" in piece.fields:
        scene["character"] = people.key_of(piece.fields["speaker"])
    if "image" in piece.fields and scene.get("prompt", "").startswith(UNWRITTEN):
        del scene["prompt"]
    return _with_fields(scene, {name: value for name, value in piece.fields.items() if name != "speaker"})


def _to_write(piece: Passage, people: _People) -> str:
    """What a prompt has to say where the script has no words and does not say what is seen."""
    fields = piece.fields
    what = "who says this, chest-up, facing the camera; or write `kind: narrated`, and what is seen"
    if "audio" not in fields:
        what = "what is seen; nobody speaks"
    elif fields.get("kind") == "narrated":
        what = "what is seen while this is said"
    elif "speaker" in fields:
        mark = f"{{{people.key_of(fields['speaker'])}}}"
        return f"Chest-up portrait of {mark}, facing the camera: where, and in what light"
    if piece.hint:
        what = f"{what}. The script says: {_shortened(piece.hint)}"
    return _braceless(what)


def _with_fields(scene: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    scene |= fields
    if "kind" in fields:
        return scene
    if "audio" in fields and "character" not in scene:
        # As in a story file, a recording is somebody's who is seen.
        scene.pop("kind", None)
    if "clip" in fields:
        scene.pop("kind", None)
    return scene


def _line(said: Spoken, people: _People) -> dict[str, Any]:
    speaker = {"character": people.key_of(said.speaker)} if said.speaker else {}
    return speaker | {"text": said.text, **_manner(said, people)}


def _manner(said: Spoken, people: _People) -> dict[str, Any]:
    if not said.manner:
        return {}
    return {"video_prompt": f"{DEFAULT_VIDEO_PROMPT}, {people.named_in(said.manner)}"}


def _unwritten(what: str, said: Sequence[Spoken]) -> str:
    return f"{UNWRITTEN}: {what}. Said here: “{_braceless(_shortened(' '.join(one.text for one in said)))}”"


def _shortened(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED].rsplit(' ', 1)[0]} …"


def _braceless(text: str) -> str:
    """A text without braces, which would name a character."""
    return text.replace("{", "(").replace("}", ")")


def _place(piece: Passage, scene: dict[str, Any]) -> Place:
    inside: dict[str | int, Place] = {name: Place(piece.line) for name in scene}
    if "lines" in scene:
        inside["lines"].inside = {
            number: Place(one.line, inside={name: Place(one.line) for name in ("text", "character")})
            for number, one in enumerate(piece.said)
        }
    return Place(piece.line, inside=inside)
