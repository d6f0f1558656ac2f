"""The texts of a story's scenes, spoken before the story's inputs are gathered; each is kept as a result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from story_studio.story.keys import hash_parts
from story_studio.story.problems import Problem
from story_studio.story.results import STORE, Kind
from story_studio.story.schema import Scene, Story

from ..storage.results import find_results
from . import sound
from .catalog import choose
from .engines import Voice, voices
from .text import cleaned, foreign_words, pieces

METHOD = "1"
"""Part of the keys: to be changed with anything here that changes the sound."""
OnSpoken = Callable[[str, float], None]
"""Called with the scene that is being spoken, and the fraction of all that is done."""


class Speech(NamedTuple):
    """A text to be spoken: by whom, and how fast (2 is twice as fast)."""

    text: str
    voice: Voice
    speed: float


@dataclass(frozen=True)
class Spoken:
    """What was spoken.

    Attributes:
        files: 16-bit mono WAVs, by the scene's id.
        reused: the scenes whose voice was there already.
        problems: with the texts of other scenes, by the scene's id.
        failed: why a voice recipe made no voice, by the scene's id.
        estimates: about how long the voices of a recipe will be, in seconds, where they were not to be made:
            the files of these scenes are tones of that length.
    """

    files: dict[str, Path] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)


def speak(
    story: Story,
    output: Path,
    folder: Path | None = None,
    on_spoken: OnSpoken = lambda *_: None,
    fetch: Callable[[str, Path], bool] = lambda *_: False,
) -> Spoken:
    """Speaks the texts of a story's scenes with the voices of this machine.

    Args:
        story: the story; its scenes with `is_spoken` are spoken.
        output: folder of the projects, in which voices are kept as other results are.
        folder: of Piper voices of your own, see `engines.voices`.
        on_spoken: called before each scene.
        fetch: brings the voice of a key from elsewhere to a path, if it is there.

    Raises:
        OSError: the output folder cannot be written.
    """
    spoken, speeches = Spoken(), dict[str, Speech]()
    scenes = [scene for scene in story.scenes if scene.is_spoken]
    here = voices(folder) if scenes else []
    places = {scene.id: f"{scene.place}.text" for scene in scenes}
    for scene in scenes:
        try:
            speeches[scene.id] = _speech(story, scene, here)
        except ValueError as error:
            spoken.problems[scene.id] = [Problem(places[scene.id], str(error))]
    # A file of 60 MB is read for each.
    versions = {voice.name: voice.version for voice in {speech.voice for speech in speeches.values()}}
    for number, (scene_id, speech) in enumerate(speeches.items()):
        on_spoken(scene_id, number / len(speeches))
        key = key_of(speech, versions[speech.voice.name])
        if path := find_voice(output, key):
            spoken.reused.add(scene_id)
            # Sweeps remove what has not been used for long.
            os.utime(path)
        else:
            path = voice_path(output, f"{story.project_id}_{scene_id}", key)
            if not fetch(key, path):
                try:
                    # Loads the voice: so a text sounds the same whatever was spoken before it.
                    write_speech(speech, path)
                except ValueError as error:
                    spoken.problems[scene_id] = [Problem(places[scene_id], str(error))]
                    continue
        spoken.files[scene_id] = path
    return spoken


def find_voice(output: Path, key: str) -> Path | None:
    """The voice of a key below an output folder; None if there is none."""
    return min(find_results(output, Kind.VOICE, key), default=None)


def voice_path(output: Path, name: str, key: str) -> Path:
    """Where the voice of a key is kept; `name` is for people."""
    return output / STORE / Kind.VOICE.folder / Kind.VOICE.file_name(name, key)


def _speech(story: Story, scene: Scene, here: list[Voice]) -> Speech:
    """How a scene's text is spoken. Raises ValueError: why it cannot be, and what to do."""
    voice = choose(story.voice_of(scene), story.language_of(scene), here)
    return speech_of(scene.text, voice, story.voice_settings.speed)


def speech_of(text: str, voice: Voice, speed: float = 1.0) -> Speech:
    """A text for a voice. Raises ValueError: nothing in it, or not all of it, can be said."""
    words = cleaned(text)
    if not words:
        raise ValueError("has nothing that can be spoken: write words, or `seconds` for a silent scene.")
    if foreign := foreign_words(words, voice.language):
        some = ", ".join(f"{word[:20]!r}" for word in foreign[:3])
        raise ValueError(
            f"has {some}{' and more' * (len(foreign) > 3)}, which the voice {voice.name} ({voice.language}) "
            "cannot say: write it as it sounds in Latin letters, choose a voice of that language, or give "
            "the scene a recording as `audio`."
        )
    return Speech(words, voice, speed)


def key_of(speech: Speech, version: str) -> str:
    """The key of a voice: the same text, voice and speed have the same one; `version` is the voice's."""
    voice = speech.voice
    return hash_parts("voice", METHOD, version, voice.name, voice.language, f"{speech.speed:g}", speech.text)


def write_speech(speech: Speech, path: Path) -> float:
    """Speaks a text to a WAV file; returns its length in seconds.

    Raises:
        OSError: it cannot be written.
        ValueError: the voice says nothing, or does not work.
    """
    rate, name = speech.voice.rate, speech.voice.name
    try:
        parts = list(_parts(speech, rate))
    except Exception as error:
        # Engines raise anything, as where a model file is damaged.
        what = (
            f"the voice {name} does not work ({type(error).__name__}): replace its file, or choose another."
        )
        raise ValueError(what) from error
    samples = np.concatenate(parts or [sound.silence(0, rate)])
    if not samples.any():
        raise ValueError(f"the voice {name} says nothing: write the text in words.")
    edge = sound.silence(sound.EDGE, rate)
    sound.write_wav(path, (edge, sound.levelled(samples, rate), edge), rate)
    return len(samples) / rate + 2 * sound.EDGE


def _parts(speech: Speech, rate: int) -> Iterator[np.ndarray]:
    """The sentences of a text, and the pauses between them."""
    say, pause = speech.voice.load(speech.speed), 0.0
    for paragraph in pieces(speech.text):
        for part in paragraph:
            for sentence in say(part):
                samples = sound.trimmed(sentence, rate)
                if len(samples):
                    yield sound.silence(pause / speech.speed, rate)
                    yield samples
                    pause = sound.SENTENCE_PAUSE
            pause = min(pause, sound.PART_PAUSE)
        pause = sound.PARAGRAPH_PAUSE if pause else 0.0
