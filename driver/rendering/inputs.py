"""The inputs of every scene, fetched and checked before anything is rendered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from story_studio.story.graph import Files
from story_studio.story.problems import Problem, Problems
from story_studio.story.schema import Story

from ..fetch.download import DownloadError
from ..fetch.local import fetch_for_story
from .images import read_image
from .input_file import InputFile
from .recordings import Recording, read_recording


@dataclass(frozen=True)
class Inputs:
    """A scene's recording and, if its still is not drawn, its image."""

    recording: Recording
    image: InputFile | None

    @property
    def all(self) -> list[InputFile]:
        """The recording and, if there is one, the image."""
        return [self.recording, *([self.image] if self.image else [])]

    @property
    def files(self) -> Files:
        """What they are called in ComfyUI's input folder."""
        return Files(self.recording.server_name, self.image.server_name if self.image else None)


def gather(story: Story, base: Path, downloads: Path) -> dict[str, Inputs]:
    """The inputs of every scene, by the scene's id.

    Args:
        story: the story.
        base: the folder that its relative paths start from.
        downloads: an existing folder for what has an address.

    Raises:
        Problems: everything that is missing, unreadable, silent, too short or too long.
    """

    inputs, problems = gather_each(story, downloads, partial(fetch_for_story, base))
    if problems:
        raise Problems(problem for of_scene in problems.values() for problem in of_scene)
    return inputs


def gather_each(
    story: Story, folder: Path, fetch: Callable[[str, Path], Path]
) -> tuple[dict[str, Inputs], dict[str, list[Problem]]]:
    """Like `gather`, but a problem with one scene affects only that scene.

    Args:
        story: the story.
        folder: an existing folder; `fetch` gets a new one below it for each source.
        fetch: makes a file of a source; raises ValueError or DownloadError if it cannot. Called in threads.

    Returns:
        The inputs of the good scenes and the problems of the others, by the scene's id.
    """
    tasks: list[tuple[str, str, str, Callable[[Path, Path], InputFile]]] = []
    for index, scene in enumerate(story.scenes):
        tasks.append((scene.id, f"scenes[{index}].audio", scene.audio, read_recording))
        if scene.image:
            tasks.append((scene.id, f"scenes[{index}].image", scene.image, read_image))

    def read(number: int) -> InputFile | Problem:
        _, where, source, decode = tasks[number]
        try:
            own_folder = folder / str(number)
            own_folder.mkdir()
            return decode(fetch(source, own_folder), own_folder)
        except (ValueError, DownloadError) as error:
            return Problem(where, str(error))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read, range(len(tasks))))
    recordings: dict[str, Recording] = {}
    images: dict[str, InputFile] = {}
    problems: dict[str, list[Problem]] = {}
    for (scene, *_), result in zip(tasks, results, strict=True):
        if isinstance(result, Problem):
            problems.setdefault(scene, []).append(result)
        elif isinstance(result, Recording):
            recordings[scene] = result
        else:
            images[scene] = result
    good = [scene.id for scene in story.scenes if scene.id not in problems]
    return {scene: Inputs(recordings[scene], images.get(scene)) for scene in good}, problems
