"""Render plans: stories with their inputs, checked and ready to be rendered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from story_studio.story.advice import check_lengths, check_prompts
from story_studio.story.graph import Files, Plan, plan_of, warnings
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import Profile, load_recipe
from story_studio.story.schema import Story, load

from ..comfy.client import Comfy
from ..fetch.local import spelled
from ..voices.speak import Spoken
from .input_file import InputFile
from .inputs import Gathered, Inputs, gather
from .recordings import Recording

Speak = Callable[[Story, Path], Spoken]
"""Speaks the texts of a story without recordings; the path is that of its file."""


@dataclass(frozen=True)
class RenderPlan(Plan):
    """A story with its inputs, by scene; `files`, their names on a server, follow from their content.

    Attributes:
        inputs: of the scenes that are rendered. Stills alone need none.
        music_file: of the film.
        reference_files: own images of characters, by the character's key.
        failed: why scenes are given up before the render begins.
        spoken: the voices that were made from texts.
    """

    inputs: dict[str, Inputs] = field(default_factory=dict)
    music_file: Recording | None = None
    failed: dict[str, str] = field(default_factory=dict)
    reference_files: dict[str, InputFile] = field(default_factory=dict)
    spoken: Spoken = field(default_factory=Spoken)

    @classmethod
    def of(
        cls,
        story: Story,
        profile: Profile,
        inputs: dict[str, Inputs],
        *,
        music: Recording | None = None,
        failed: dict[str, str] | None = None,
        clips: bool = True,
        references: dict[str, InputFile] | None = None,
        spoken: Spoken | None = None,
    ) -> RenderPlan:
        """The plan of a story with these inputs."""
        # A recipe that takes no references makes stills without them.
        references = references if references and profile.reference else {}
        files = {scene.id: Files("", None) for scene in story.scenes}
        files |= {scene: scene_inputs.files for scene, scene_inputs in inputs.items()}
        name = music.server_name if music else None
        return cls(
            story,
            profile,
            files,
            clips,
            name,
            {key: file.server_name for key, file in references.items()},
            inputs=inputs,
            music_file=music,
            failed=failed or {},
            reference_files=references,
            spoken=spoken or Spoken(),
        )

    @property
    def seconds(self) -> dict[str, float]:
        """Length of each scene."""
        return {scene: inputs.seconds for scene, inputs in self.inputs.items()}

    @property
    def contents(self) -> dict[str, str]:
        """SHA-256 of all input files, by their names on a server."""
        return {file.server_name: file.sha256 for file in self._files()}

    @property
    def warnings(self) -> list[str]:
        """What the user should know before the render, a sentence each."""
        of_inputs = [
            f"{scene}: {text}"
            for scene, inputs in self.inputs.items()
            for file in inputs.all
            for text in file.warnings
        ]
        shared = {f"characters.{key}.reference": file for key, file in self.reference_files.items()}
        shared |= {"film.music": self.music_file} if self.music_file else {}
        of_shared = [f"{where}: {text}" for where, file in shared.items() for text in file.warnings]
        return [*warnings(self), *of_inputs, *of_shared]

    def upload(self, comfy: Comfy) -> None:
        """Gives the server every input file that it does not have."""
        for file in self._files():
            folder, _, name = file.server_name.rpartition("/")
            comfy.upload(file.path, name, folder)

    def copy_inputs(self, folder: Path) -> None:
        """Copies every input file into ComfyUI's input folder."""
        for file in self._files():
            target = folder / file.server_name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, target)

    def _files(self) -> Iterator[InputFile]:
        for inputs in self.inputs.values():
            yield from inputs.all
        yield from self.reference_files.values()
        if self.music_file:
            yield self.music_file


def prepare(
    paths: Sequence[Path], profile: str | None, downloads: Path, speak: Speak = lambda *_: Spoken()
) -> list[RenderPlan]:
    """The plans of story files.

    Args:
        paths: YAML or JSON files.
        profile: a profile's name, instead of the stories' own.
        downloads: an existing folder for what has an address.
        speak: makes the voices of scenes that have a text and no recording.

    Raises:
        Problems: everything that is wrong with any of the stories.
    """
    plans: list[RenderPlan] = []
    names: list[str] = []
    problems: list[Problem] = []
    for number, path in enumerate(paths):
        try:
            story = load(path)
        except Problems as error:
            problems += error.problems
            continue
        if profile:
            story = story.model_copy(update={"profile": profile})
        names.append(story.project_id)
        folder = downloads / str(number)
        folder.mkdir()
        found: Plan | None = None
        gathered: Gathered | None = None
        with _collecting(problems, path):
            found = _plan(story, path)
            check_prompts(found)
        spoken = Spoken()
        with _collecting(problems, path):
            spoken = speak(story, path)
            if spoken.problems:
                raise Problems([problem for wrong in spoken.problems.values() for problem in wrong])
        with _collecting(problems, path):
            gathered = gather(story, path.parent, folder, spoken.files)
        if found and gathered:
            plan = RenderPlan.of(
                story,
                found.profile,
                gathered.scenes,
                music=gathered.music,
                references=gathered.references,
                failed=spoken.failed,
                spoken=spoken,
            )
            plans.append(plan)
            with _collecting(problems, path):
                check_lengths(plan)
    problems += [
        Problem("project_id", f"{name!r} is used by two stories: they would overwrite each other.")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise Problems(problems)
    return plans


def _plan(story: Story, path: Path) -> Plan:
    return plan_of(story, {}, lambda recipe, kind: load_recipe(spelled(recipe, path.parent), kind))


@contextmanager
def _collecting(problems: list[Problem], path: Path) -> Iterator[None]:
    """Adds the problems of a story's file to `problems`, so that all errors are reported together."""
    try:
        yield
    except Problems as error:
        problems += [Problem(f"{path}: {where}", what) for where, what in error.problems]
