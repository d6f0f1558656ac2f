"""`check`: measures clips and says what is wrong with them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from story_studio.checks.check import Check, check_clip
from story_studio.checks.faces import FaceTracker, NoFaceModels
from story_studio.checks.figures import Figures
from story_studio.checks.verdict import thresholds, worst_readings
from story_studio.story.problems import Problem, Problems
from story_studio.story.results import STORE, Kind

from .. import terminal
from ..files import is_disk_full
from ..rendering.checks import ClipToCheck, RenderedClips, read_reference, rendered_clips, write_down
from ..rendering.run import RenderError
from ..terminal import FAILED, OK
from .arguments import add_output, check_writable

OUTCOME = "checked"
"""What did not happen where there are problems."""
_STORIES = (".yaml", ".yml", ".json")
_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "hint": "blue"}
_MAIN = ("sync.offset_frames", "sync.confidence", "identity.similarity", "face.present")
"""The figures that each line shows."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `check`."""
    command.description = (
        "Measures clips on the CPU: whether lips follow the voice, whether the face stays the same, frozen, "
        "black, flickering and blurred frames, colours, jumps, lengths, and the voice. A clip that was "
        "checked is not measured again."
    )
    command.epilog = "Exit status: 0 if no clip fails, 1 if one does or cannot be checked, 2 for wrong usage."
    command.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE|STORY",
        help="video files; or story files, to check the clips of their last renders",
    )
    command.add_argument("--json", action="store_true", help="one JSON object a clip and line")
    command.add_argument(
        "--reference",
        type=Path,
        metavar="IMAGE",
        help="whose face the files must show (else that of their first second); not of stories",
    )
    command.add_argument(
        "--not-talking",
        action="store_true",
        help="nobody is to speak on screen in the files: faces and lips are not measured; a story says it of "
        "each scene",
    )
    add_output(command)


def run(options: argparse.Namespace) -> int:
    """Checks the files; returns the exit status.

    Raises:
        Problems: no file can be checked.
    """
    _refuse_options_without_effect(options)
    check_writable(options.output)
    problems: list[Problem] = []
    stories: list[RenderedClips] = []
    clips = _clips(options, stories, problems)
    if not clips:
        raise Problems(problems)
    checked = _check(clips, options, problems)
    not_written = [problem for story in stories for problem in _write_down(story, checked)]
    if not options.json:
        out = Console(highlight=False)
        for clip, check in checked:
            out.print(_report(clip, check), soft_wrap=True)
    for why in dict.fromkeys(why for _, check in checked for why in check.figures.missing):
        terminal.say(f"Not measured: {why}", "yellow")
    for problem in [*problems, *not_written]:
        terminal.say(str(problem), "red")
    failed = sum(check.verdict == "fail" for _, check in checked)
    terminal.say(_summary(len(checked), failed, len(problems)))
    return FAILED if failed or problems or not_written else OK


def _refuse_options_without_effect(options: argparse.Namespace) -> None:
    """Raises Problems."""
    given = {"--reference": options.reference is not None, "--not-talking": options.not_talking}
    named = [name for name, is_given in given.items() if is_given]
    if all(map(_is_story, options.files)):
        what = "has no effect on stories, which say for each scene who speaks: leave it out."
        problems = [Problem(name, what) for name in named]
    else:
        what = "has no effect with --not-talking, where no face is measured: leave one of them out."
        problems = [Problem("--reference", what)] if len(named) > 1 else []
    if problems:
        raise Problems(problems)


def _is_story(path: Path) -> bool:
    return path.suffix.lower() in _STORIES


def _clips(
    options: argparse.Namespace, stories: list[RenderedClips], problems: list[Problem]
) -> list[ClipToCheck]:
    """The clips that are named; the stories among them are added to `stories`, and errors to `problems`."""
    clips: list[ClipToCheck] = []
    for path in options.files:
        if _is_story(path):
            try:
                stories.append(rendered_clips(path, options.output))
            except Problems as error:
                problems += error.problems
            else:
                clips += stories[-1].clips
        elif path.is_file():
            clips.append(ClipToCheck(path, path.stem, not options.not_talking, options.reference))
        else:
            problems.append(Problem(str(path), "there is no such file: give the path of a video or a story."))
    return clips


def _check(
    clips: Sequence[ClipToCheck], options: argparse.Namespace, problems: list[Problem]
) -> list[tuple[ClipToCheck, Check]]:
    store = options.output / STORE / Kind.CHECK.folder
    checked: list[tuple[ClipToCheck, Check]] = []
    if any(clip.talking for clip in clips):
        _load_face_models()
    with terminal.working("Checking") as show:
        for number, clip in enumerate(clips):

            def progress(done: float, number: int = number, name: str = clip.path.name) -> None:
                show(name, (number + done) / len(clips))

            progress(0.0)
            try:
                check = _checked(clip, store, progress)
            except (OSError, ValueError) as error:
                what = _words(error, store).removeprefix(f"{clip.path} ").removeprefix(f"{clip.path.name} ")
                problems.append(Problem(str(clip.path), what))
                continue
            checked.append((clip, check))
            if options.json:
                sys.stdout.write(json.dumps(_as_json(clip, check), ensure_ascii=False) + "\n")
                sys.stdout.flush()
    return checked


def _load_face_models() -> None:
    """Loads them with standard error closed: LiteRT writes a line there with the first model of a process."""
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with suppress(NoFaceModels):
            FaceTracker()
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _checked(clip: ClipToCheck, store: Path, progress: Callable[[float], None]) -> Check:
    reference: np.ndarray | None = None
    if clip.reference:
        try:
            reference = read_reference(clip.reference)
        except (OSError, ValueError) as error:
            raise ValueError(f"its reference {clip.reference} {_words(error, store)}") from error
    return check_clip(
        clip.path, store, name=clip.name, talking=clip.talking, reference=reference, on_progress=progress
    )


def _words(error: OSError | ValueError, store: Path) -> str:
    """What is wrong, to be put after the file's name; `store` is where its check is written."""
    if not isinstance(error, OSError):
        return str(error)
    why = error.strerror or error
    if is_disk_full(error) or (error.filename and Path(error.filename).is_relative_to(store)):
        return f"was not checked, because nothing can be written to {store} ({why}): choose another --output."
    return f"cannot be read ({why})."


def _write_down(story: RenderedClips, checked: Sequence[tuple[ClipToCheck, Check]]) -> Iterator[Problem]:
    """Puts the checks of a story's clips into its manifest, and says of which ones it could not."""
    checks = {clip.scene.id: check for clip, check in checked if clip.scene and clip in story.clips}
    try:
        replaced = write_down(story, checks)
    except RenderError as error:
        yield Problem(str(story.folder), f"the manifest does not have the checks. {error}")
    except OSError as error:
        why = error.strerror or error
        what = f"the checks cannot be written into the manifest ({why})."
        yield Problem(str(story.folder), what)
    else:
        what = "was rendered again meanwhile: run the same command again to check its new clip."
        yield from (Problem(f"{story.folder.name}.{scene}", what) for scene in replaced)


def _as_json(clip: ClipToCheck, check: Check) -> dict[str, object]:
    about: dict[str, object] = {"file": str(clip.path)}
    if clip.scene is not None:
        about["scene"] = clip.scene.id
    about |= check.model_dump(mode="json")
    return about | {"sheet": str(check.sheet) if check.sheet else None}


def _report(clip: ClipToCheck, check: Check) -> Text:
    """A line with the verdict and the main figures, and one for each finding."""
    name = clip.scene.id if clip.scene else clip.path.name
    text = Text.assemble(
        (f"{check.verdict:<5}", f"bold {_COLOURS[check.verdict]}"),
        f" {name}  ",
        (f"{check.figures.lengths.video:.1f} s  {'  '.join(_figures(check.figures))}", "dim"),
    )
    for finding in check.findings:
        text.append(f"\n{'':6}{finding.level:<5}", _COLOURS[finding.level])
        text.append(f" {finding.text}")
    if check.sheet:
        text.append(f"\n{'':6}{check.sheet}", "dim")
    return text


def _figures(figures: Figures) -> Iterator[str]:
    worst = worst_readings(figures)
    for figure in _MAIN:
        if figure in worst:
            limit = thresholds()[figure]
            yield f"{limit.name} {limit.shown(worst[figure].value)}"


def _summary(checked: int, failed: int, problems: int) -> str:
    text = f"{checked} clip{'s' * (checked != 1)} checked, {failed} failed"
    return f"{text}; {problems} could not be checked." if problems else f"{text}."
