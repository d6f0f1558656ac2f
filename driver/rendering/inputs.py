"""The inputs of every scene, fetched and checked before anything is rendered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from story_studio.story.graph import Files
from story_studio.story.problems import Problem, Problems
from story_studio.story.schema import Scene, Story

from ..fetch.download import DownloadError
from ..fetch.local import fetch_for_story
from .clips import OwnClip, read_clip
from .images import read_image
from .input_file import InputFile
from .recordings import Recording, read_music, read_recording

logger = logging.getLogger(__name__)
_KINDS = {
    "audio": ("audio", "WAV, MP3 or FLAC"),
    "voice": ("audio", "WAV"),
    "music": ("audio", "WAV, MP3 or FLAC"),
    "image": ("an image", "PNG or JPEG"),
    "reference": ("an image", "PNG or JPEG"),
    "clip": ("a video", "MP4 (H.264 with AAC sound)"),
}
_MUSIC = "film.music.file"


class Source(NamedTuple):
    """An input as the story names it, and the field that does: `audio`, `image`, `clip`, `music`, or
    `reference` of a character. A `voice` was spoken from a scene's text, and is a file of this machine."""

    field: str
    source: str


class Gathered(NamedTuple):
    """The inputs of a story.

    Attributes:
        scenes: of the good scenes, by the scene's id.
        music: of the film; None if it has none.
        problems: of the other scenes, by the scene's id.
        film_problems: with what several scenes share: the music, and the characters' references.
        references: own images of characters, by the character's key.
    """

    scenes: dict[str, Inputs]
    music: Recording | None
    problems: dict[str, list[Problem]]
    film_problems: list[Problem]
    references: dict[str, InputFile] = {}


@dataclass(frozen=True)
class Inputs:
    """What a scene is made from.

    Attributes:
        recording: its voice; None for a silent scene, and for an own clip with its own sound.
        image: its image, if its still is not drawn.
        clip: its own clip.
        seconds: how long the scene is.
    """

    recording: Recording | None
    image: InputFile | None
    clip: OwnClip | None = None
    seconds: float = 0.0

    @property
    def all(self) -> list[InputFile]:
        """The files that there are."""
        return [file for file in (self.recording, self.image, self.clip) if file]

    @property
    def files(self) -> Files:
        """What they are called in ComfyUI's input folder."""
        names = (file.server_name if file else None for file in (self.recording, self.image, self.clip))
        return Files(*names, seconds=self.seconds)


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
        "reference": partial(read_image, size=story.frame_size),
        "clip": partial(read_clip, size=story.frame_size),
    }
    sources = sources_of(story, spoken or {})

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
    for scene in story.scenes:
        found = {source.field: results[source] for source in _sources(scene, spoken or {})}
        wrong = list(_problems(scene, found))
        if scene.is_spoken and spoken is None:
            wrong.append(Problem(f"{scene.place}.text", "is to be spoken, and no voice was made of it."))
        if wrong:
            problems[scene.id] = wrong
        # Whoever made the voices says why one is missing.
        elif not scene.is_spoken or "voice" in found:
            inputs[scene.id] = _inputs(scene, found)
    shared = {where: results[source] for where, source in _shared(story).items()}
    wrong = [Problem(where, what) for where, what in shared.items() if isinstance(what, str)]
    music = shared.pop(_MUSIC, None)
    references = {where.split(".")[1]: file for where, file in shared.items() if isinstance(file, InputFile)}
    return Gathered(inputs, music if isinstance(music, Recording) else None, problems, wrong, references)


def _inputs(scene: Scene, found: Mapping[str, InputFile | str]) -> Inputs:
    """The inputs of a scene, all of which are good."""
    recording, image, clip = found.get("voice") or found.get("audio"), found.get("image"), found.get("clip")
    assert not isinstance(image, str)
    recording = recording if isinstance(recording, Recording) else None
    seconds = recording.seconds if recording else scene.seconds or 0.0
    if not isinstance(clip, OwnClip):
        return Inputs(recording, image, None, seconds)
    if not (clip.has_audio or scene.mute or recording):
        silent = (
            f"{clip.path.name} has no sound, so the scene is silent: `mute: true` says that you want this."
        )
        clip = replace(clip, warnings=(*clip.warnings, silent))
    if not recording:
        seconds = clip.used(scene.start or 0.0, scene.end or 0.0)
    elif scene.start or scene.end:
        # As long as what is cut out; the last frame stays while the voice is not over.
        seconds = max(seconds, clip.used(scene.start or 0.0, scene.end or 0.0))
    return Inputs(recording, image, clip, seconds)


def _problems(scene: Scene, found: Mapping[str, InputFile | str]) -> Iterator[Problem]:
    """What is wrong with the inputs of a scene."""
    yield from (
        Problem(f"{scene.place}.{field}", what) for field, what in found.items() if isinstance(what, str)
    )
    clip = found.get("clip")
    if not isinstance(clip, OwnClip):
        return
    if wrong := clip.problem(scene.start or 0.0, scene.end or 0.0):
        yield Problem(f"{scene.place}.{wrong[0]}", wrong[1])
    if clip.bad_audio and not (scene.mute or "audio" in found or "voice" in found):
        yield Problem(
            f"{scene.place}.clip",
            f"{clip.path.name} has sound that cannot be decoded ({clip.bad_audio}): export it again with AAC "
            "sound, or leave it out with `mute: true`.",
        )


def sources_of(story: Story, spoken: Mapping[str, Path] | None = None) -> list[Source]:
    """What the story brings, each once: it may use the same image in every scene; `spoken` as in `gather`."""
    sources = [source for scene in story.scenes for source in _sources(scene, spoken or {})]
    return list(dict.fromkeys([*sources, *_shared(story).values()]))


def _shared(story: Story) -> dict[str, Source]:
    """What several scenes share, by its place in the story file."""
    music = story.film.music if story.film else None
    return {
        **({_MUSIC: Source("music", music.file)} if music else {}),
        **{
            f"characters.{key}.reference": Source("reference", character.reference)
            for key, character in story.characters.items()
            if character.reference
        },
    }


def _sources(scene: Scene, spoken: Mapping[str, Path]) -> list[Source]:
    """What a scene brings."""
    voice = {"voice": str(spoken[scene.id])} if scene.id in spoken else {"audio": scene.audio}
    named = {**voice, "image": scene.image, "clip": scene.clip}
    return [Source(field, source) for field, source in named.items() if source]


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
