"""`new`: a story file from a script, or from a folder of recordings."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from story_studio.story.file_text import MAX_BYTES, decode
from story_studio.story.json_schema import schema_text
from story_studio.story.places import Unreadable
from story_studio.story.problems import Problem, Problems
from story_studio.story.scene import UNWRITTEN
from story_studio.story.schema import read
from story_studio.story.script.read import SUFFIXES, StoryOfScript, finished, story_from_script
from story_studio.story.script.recordings import TEXT, read_recordings
from story_studio.story.script.yaml_text import SCHEMA_FILE, yaml_of

from .. import terminal
from ..fetch.data_uri import is_data_uri
from ..fetch.download import is_address
from ..fetch.local import find
from ..files import written_aside
from ..terminal import OK
from .arguments import check_writable

OUTCOME = "written"
_STORY = "story.yaml"
_FILES = ("audio", "image", "clip")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `new`."""
    command.add_argument(
        "script",
        type=Path,
        metavar="SCRIPT",
        help=f"a script ({', '.join(SUFFIXES)}), or a folder of recordings: a scene for each",
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where story.yaml is written (a folder of the script's name beside it, or the recordings')",
    )
    command.add_argument("--force", action="store_true", help="replace a story.yaml that is there")


def run(options: argparse.Namespace) -> int:
    """Writes the story; returns the exit status. Raises Problems: what is wrong with the script."""
    script: Path = options.script
    is_folder = script.is_dir()
    base = script if is_folder else script.parent
    story = _of_folder(script) if is_folder else story_from_script(script.name, _text(script))
    output: Path = options.output or (script if is_folder else script.with_suffix(""))
    path = output / _STORY
    if path.exists() and not options.force:
        what = "is there already: choose another folder with --output, or replace it with --force."
        raise Problems([Problem(str(path), what)])
    check_writable(output)
    missing = _bring_files(story.data, base, output)
    text = yaml_of(story.data, _header(script.resolve().name, path))
    read(text, path)
    for target, content in ((path, text), (output / SCHEMA_FILE, schema_text())):
        with written_aside(target) as aside:
            aside.write_text(content, encoding="utf-8")
    for note in [*story.notes, *missing]:
        terminal.say(f"Note: {note}", "yellow")
    sys.stdout.write(f"{path}\n")
    terminal.say(_what_next(story.data, path))
    return OK


def _text(path: Path) -> str:
    """The text of a file. Raises Problems: it cannot be read, or is no text."""
    try:
        with path.open("rb") as file:
            return decode(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise Problems([Problem(str(path), f"cannot be read: {error.strerror}.")]) from None
    except Unreadable as error:
        raise Problems([Problem(f"{path}: {error.problem.where}", error.problem.what)]) from None


def _of_folder(folder: Path) -> StoryOfScript:
    """The story of a folder of recordings. Raises Problems: there is none in it, or a text is no text."""
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    texts = {name: _text(folder / name) for name in names if Path(name).suffix.lower() in TEXT}
    script = read_recordings(names, texts)
    if not script.passages:
        what = "has no recordings and no videos: name a folder with a recording for each scene, or a script."
        raise Problems([Problem(str(folder), what)])
    return finished(script, folder.resolve().name)


def _bring_files(data: dict[str, Any], base: Path, output: Path) -> list[str]:
    """Copies what the scenes name to beside the story; returns what is not there, a sentence each.

    A file outside the script's folder stays where it is, and the story names it from its own folder.
    """
    missing = []
    for scene in data["scenes"]:
        for field in _FILES:
            source = scene.get(field, "")
            if not source or is_data_uri(source) or is_address(source):
                continue
            try:
                path = find(source, base.absolute())
            except ValueError as error:
                missing.append(f"scene {scene['id']}: {error}")
                continue
            if not path.is_relative_to(base.absolute()):
                scene[field] = Path(os.path.relpath(path, output.absolute())).as_posix()
                continue
            target = output / path.relative_to(base.absolute())
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
    return missing


def _header(name: str, path: Path) -> list[str]:
    return [
        f"Made from {name}. Write what is marked {UNWRITTEN}; everything else can be changed too.",
        "",
        f"    story-studio render {path.name} --profile draft    painted cards, without models",
        f"    story-studio render {path.name} --profile turbo    real images and talking video",
    ]


def _what_next(data: dict[str, Any], path: Path) -> str:
    """How much is left to write, and the command for a draft."""
    scenes, people = data["scenes"], data.get("characters", {}).values()
    prompts = sum(UNWRITTEN in scene.get("prompt", "") for scene in scenes)
    looks = sum(UNWRITTEN in person["description"] for person in people)
    left = [_count(prompts, "prompt")] * bool(prompts) + [_count(looks, "description")] * bool(looks)
    todo = f"{' and '.join(left)} to write, marked {UNWRITTEN}. " if left else ""
    command = f"story-studio render {shlex.quote(str(path))} --profile draft"
    return f"{_count(len(scenes), 'scene')}. {todo}A draft now: {command}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
