"""A scene's recording and image: fetched, and checked by decoding them, before anything is rendered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from PIL import Image

from story_studio.story.graph import Files
from story_studio.story.problems import Problem, Problems
from story_studio.story.results import STORE
from story_studio.story.schema import Story

from ..fetch.download import DownloadError, download, is_address
from ..files import content_name, sha256_of

MAX_SECONDS = 30 * 60
MIN_SECONDS = 0.2
_SILENCE = 10 ** (-60 / 20)
_MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class InputFile:
    """A local file and its content's SHA-256."""

    path: Path
    sha256: str

    @property
    def server_name(self) -> str:
        """What it is called in ComfyUI's input folder; the same content has the same name."""
        return f"{STORE}/{content_name(self.path.name, self.sha256)}"


@dataclass(frozen=True)
class Recording(InputFile):
    """A scene's voice, and its length in seconds."""

    seconds: float


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

    def fetch(source: str, folder: Path) -> Path:
        return download(source, folder) if is_address(source) else base / source

    inputs, problems = gather_each(story, downloads, fetch)
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
    tasks: list[tuple[str, str, str, Callable[[Path], InputFile]]] = []
    for index, scene in enumerate(story.scenes):
        tasks.append((scene.id, f"scenes[{index}].audio", scene.audio, read_recording))
        if scene.image:
            tasks.append((scene.id, f"scenes[{index}].image", scene.image, read_image))

    def read(number: int) -> InputFile | Problem:
        _, where, source, decode = tasks[number]
        try:
            own_folder = folder / str(number)
            own_folder.mkdir()
            return decode(fetch(source, own_folder))
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


def read_recording(path: Path) -> Recording:
    """Decodes a recording to its end.

    Raises:
        ValueError: it is missing, not audio, broken, silent, shorter than 0.2 s or longer than 30 min.
    """
    _must_exist(path)
    try:
        seconds, peak = _measure_audio(path)
    except (av.error.FFmpegError, OSError):
        raise ValueError(
            f"{path.name} cannot be read as audio: export it again as WAV, MP3 or FLAC."
        ) from None
    if seconds < MIN_SECONDS:
        raise ValueError(f"{path.name} lasts {seconds:.2f} s, and a scene needs at least {MIN_SECONDS} s.")
    if seconds > MAX_SECONDS:
        raise ValueError(f"{path.name} lasts {seconds / 60:.0f} min: split it into scenes of at most 30 min.")
    if not peak >= _SILENCE:
        raise ValueError(f"{path.name} is silent: record it again, or check that it is the right file.")
    return Recording(path, sha256_of(path), seconds)


def read_image(path: Path) -> InputFile:
    """Decodes an image.

    Raises:
        ValueError: it is missing, not an image, broken or too large.
    """
    _must_exist(path)
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(
                    f"{path.name} has more than {_MAX_PIXELS // 10**6} million pixels: make it smaller."
                )
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError(f"{path.name} cannot be read as an image: export it again as PNG or JPEG.") from None
    return InputFile(path, sha256_of(path))


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} does not exist: paths are relative to the story file's folder.")


def _measure_audio(path: Path) -> tuple[float, float]:
    """Length in seconds and loudest sample, 0 to 1."""
    samples, rate, peak = 0, 1, 0.0
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise ValueError(f"{path.name} has no audio in it: choose a voice recording.")
        resampler = av.AudioResampler(format="flt")
        for frame in container.decode(container.streams.audio[0]):
            rate = frame.sample_rate
            if frame.format.name.startswith("u8"):
                raise ValueError(
                    f"{path.name} is 8-bit audio, which ComfyUI cannot read: export it with 16 bits."
                )
            samples += frame.samples
            for part in resampler.resample(frame):
                peak = max(peak, float(np.abs(part.to_ndarray()).max(initial=0)))
    return samples / rate, peak
