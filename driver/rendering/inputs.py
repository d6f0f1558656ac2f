"""The inputs of every scene, fetched and checked before anything is rendered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from story_studio.story.graph import Files
from story_studio.story.problems import Problem, Problems
from story_studio.story.schema import Scene, Story

from ..fetch.download import DownloadError
from ..fetch.local import fetch_for_story
from .images import read_image
from .input_file import InputFile
from .recordings import Recording, read_music, read_recording

logger = logging.getLogger(__name__)
_KINDS = {
    "audio": ("audio", "WAV, MP3 or FLAC"),
    "voice": ("audio", "WAV"),
    "music": ("audio", "WAV, MP3 or FLAC"),
    "image": ("an image", "PNG or JPEG"),
}


class Source(NamedTuple):
    """An input as the story names it, and the field that does: `audio`, `image` or `music`. A `voice` was
    spoken from a scene's text, and is a file of this machine."""

    field: str
    source: str


class Gathered(NamedTuple):
    """The inputs of a story.

    Attributes:
        scenes: of the good scenes, by the scene's id.
        music: of the film; None if it has none.
        problems: of the other scenes, by the scene's id.
        film_problems: with the music.
    """

    scenes: dict[str, Inputs]
    music: Recording | None
    problems: dict[str, list[Problem]]
    film_problems: list[Problem]


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
        image = self.image.server_name if self.image else None
        return Files(self.recording.server_name, image, seconds=self.recording.seconds)


def gather(story: Story, base: Path, downloads: Path, spoken: Mapping[str, Path] | None = None) -> Gathered:
    """The inputs of every scene and of the film.

    Args:
        story: the story.
        base: the folder that its relative paths start from.
        downloads: an existing folder for what has an address.
        spoken: the voices that were made from the scenes' texts, by the scene's id.

    Raises:
        Problems: everything that is missing, unreadable, silent, too short or too long.
    """
    gathered = gather_each(story, downloads, partial(fetch_for_story, base), spoken)
    problems = [problem for of_scene in gathered.problems.values() for problem in of_scene]
    if problems or gathered.film_problems:
        raise Problems([*problems, *gathered.film_problems])
    return gathered


def gather_each(
    story: Story,
    folder: Path,
    fetch: Callable[[str, Path], Path],
    spoken: Mapping[str, Path] | None = None,
) -> Gathered:
    """Like `gather`, but a problem with one scene affects only that scene.

    Args:
        story: the story.
        folder: an existing folder; `fetch` gets a new one below it for each source.
        fetch: makes a file of a source; raises ValueError or DownloadError if it cannot. Called in threads.
        spoken: as in `gather`.
    """
    decoders = {
        "audio": read_recording,
        "voice": read_recording,
        "music": read_music,
        "image": partial(read_image, size=story.frame_size),
    }
    spoken = spoken or {}
    sources = sources_of(story, spoken)

    def read(number: int) -> InputFile | str:
        own_folder = folder / str(number)
        own_folder.mkdir()
        field, source = sources[number]
        # What this machine has made is not fetched as what a story names is.
        get = (lambda path, _: Path(path)) if field == "voice" else fetch
        return _read(sources[number], own_folder, get, decoders[field])

    with ThreadPoolExecutor(8) as pool:
        results = dict(zip(sources, pool.map(read, range(len(sources))), strict=True))
    inputs: dict[str, Inputs] = {}
    problems: dict[str, list[Problem]] = {}
    for index, scene in enumerate(story.scenes):
        found = {source.field: results[source] for source in _sources(scene, spoken)}
        recording, image = found.get("voice") or found.get("audio"), found.get("image")
        if isinstance(recording, Recording) and not isinstance(image, str):
            inputs[scene.id] = Inputs(recording, image)
            continue
        problems[scene.id] = [
            Problem(f"scenes[{index}].{field}", what)
            for field, what in found.items()
            if isinstance(what, str)
        ]
    music = results[source] if (source := _music(story)) else None
    if isinstance(music, str):
        return Gathered(inputs, None, problems, [Problem("film.music.file", music)])
    assert music is None or isinstance(music, Recording)
    return Gathered(inputs, music, problems, [])


def sources_of(story: Story, spoken: Mapping[str, Path] | None = None) -> list[Source]:
    """What the story brings, each once: it may use the same image in every scene; `spoken` as in `gather`."""
    sources = [source for scene in story.scenes for source in _sources(scene, spoken or {})]
    return list(dict.fromkeys([*sources, *([music] if (music := _music(story)) else [])]))


def _music(story: Story) -> Source | None:
    music = story.film.music if story.film else None
    return Source("music", music.file) if music else None


def _sources(scene: Scene, spoken: Mapping[str, Path]) -> list[Source]:
    """What a scene brings."""
    image = [Source("image", scene.image)] if scene.image else []
    if voice := spoken.get(scene.id):
        return [Source("voice", str(voice)), *image]
    audio = [Source("audio", scene.audio)] if scene.audio else []
    return [*audio, *image]


def _read(
    source: Source,
    folder: Path,
    fetch: Callable[[str, Path], Path],
    decode: Callable[[Path, Path], InputFile],
) -> InputFile | str:
    """An input, or what is wrong with it."""
    try:
        path = fetch(source.source, folder)
    except (ValueError, DownloadError) as error:
        return str(error)
    try:
        return decode(path, folder)
    except Exception as error:
        # Ours is a ValueError. Decoders raise anything, a ValueError for text that is not UTF-8 among others.
        if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
            return str(error)
        logger.debug("%s cannot be decoded", path, exc_info=True)
        kind, formats = _KINDS[source.field]
        return f"{path.name} cannot be read as {kind}: export it again as {formats}."
