"""Word Times: when each word of a text is said in its recording."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from comfy_api.latest import io

from ..core import fit, folders, loading, output_cache, wav2vec2
from ..files import written_aside
from ..media import spoken
from ..media.captions import Word
from ..media.word_times import WordTimes, estimate, level_of
from ..results import result_store
from ..s2v import audio as s2v_audio
from ..s2v import letters
from ..story.keys import hash_parts
from ..story.results import STORE
from ..story.word_times import AUDIO_ENCODER, WORD_TIMES, encoder_file
from .common import CATEGORY, HIDDEN, after_input, progress_bar, warn

WordTimesType = io.Custom("STORY_STUDIO_WORD_TIMES")
_FOLDER = "words"
_FORMULA = "word times 1"
"""Part of the key of what is kept: another number when the words of the same recording get other times."""
OTHER_TEXT = (
    "The text does not match the recording: its words are timed by the loudness alone. Enter word for word "
    "what is said; the audio encoder reads English."
)
_encoders: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""The encoders that were loaded here, by the graph that runs and the file: one for all scenes of a story."""


class WordTimesNode(io.ComfyNode):
    """Runs nothing upstream, not even a loader, if the times of the same words are on disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=WORD_TIMES,
            display_name="Word Times",
            category=CATEGORY,
            description="Finds when each word of the text is said in the recording, for captions that follow "
            "the voice. It uses the letters that the audio encoder reads from the recording, if the "
            "encoder's file can name letters, or else the recording's loudness.",
            inputs=[
                io.Audio.Input("audio", lazy=True, tooltip="The voice recording, as the clip has it."),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    tooltip="What is said in the recording, word for word.",
                ),
                io.AudioEncoder.Input(
                    AUDIO_ENCODER,
                    optional=True,
                    lazy=True,
                    tooltip="Optional. wav2vec2, from Wan2.2 S2V Models or Load Audio Encoder. Without one, "
                    "or if its file has no lm_head, words are timed by the loudness.",
                ),
                after_input(),
            ],
            outputs=[
                WordTimesType.Output(
                    display_name="words", tooltip="The times of all words. Link them to a Film Scene."
                )
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def check_lazy_status(
        cls, text: str, audio: Any = None, audio_encoder: Any = None, after: Any = None
    ) -> list[str]:
        """Requests nothing if the times are on disk, and the encoder only from a loader that has run."""
        if _read(cls._path(text)):
            return []
        needed = ["audio"] if audio is None else []
        if audio_encoder is None and cls._encoder_name() and output_cache.is_cached(cls._link()[0]):
            needed.append(AUDIO_ENCODER)
        return needed

    @classmethod
    def execute(
        cls, text: str, audio: dict[str, Any] | None = None, audio_encoder: Any = None, after: Any = None
    ) -> io.NodeOutput:
        """Returns the times, from disk if they were found before."""
        path = cls._path(text)
        found = _read(path)
        if found is None:
            if audio is None:
                raise RuntimeError(
                    "The file of the word times was removed while it was being read: run the graph again."
                )
            found = cls._find(text, audio, audio_encoder)
            with written_aside(path) as aside:
                aside.write_text(json.dumps(found._asdict()), encoding="utf-8")
        return io.NodeOutput(found)

    @classmethod
    def _find(cls, text: str, audio: dict[str, Any], encoder: Any) -> WordTimes:
        voice = s2v_audio.read_voice(audio)
        for warning in voice.warnings:
            warn(cls.hidden.unique_id, warning)
        words = spoken.words(text)
        if words and (name := cls._encoder_name()):
            file = folders.model_file("audio_encoders", name)
            encoder = encoder if encoder is not None else cls._load(file)
            head = letters.read_head(file)
            bar = progress_bar()
            shape = wav2vec2.output_shape(encoder)
            if shape and shape[1] == head.weight.shape[1]:
                if found := letters.align(words, encoder, head, voice.samples, voice.sample_rate, bar):
                    return found
                warn(cls.hidden.unique_id, OTHER_TEXT)
        waveform = voice.samples.numpy()
        seconds = waveform.shape[1] / voice.sample_rate
        level = level_of(waveform, voice.sample_rate)
        return WordTimes(tuple(estimate(words, level, seconds)), "estimated")

    @classmethod
    def _load(cls, file: str) -> Any:
        # The loader of all models would read far more than the encoder for nothing else than this.
        loaded = _encoders.setdefault(cls.hidden.dynprompt, {})
        if file not in loaded:
            with torch.inference_mode():
                loaded[file] = loading.load_audio_encoder(file)
        return loaded[file]

    @classmethod
    def _link(cls, name: str = AUDIO_ENCODER) -> Any:
        return cls.hidden.dynprompt.get_node(cls.hidden.unique_id)["inputs"].get(name)

    @classmethod
    def _encoder_name(cls) -> str | None:
        """The file of the encoder that is linked; None if it cannot read letters."""
        name = encoder_file(cls.hidden.dynprompt.get_node, cls._link())
        path = name and folders.find_model("audio_encoders", name)
        return name if path and fit.can_encode_audio() and letters.has_head(path) else None

    @classmethod
    def _path(cls, text: str) -> Path:
        recording = result_store.source_key(cls.hidden.dynprompt, cls._link("audio"))
        key = hash_parts(_FORMULA, recording, text, cls._encoder_name() or "")
        return folders.output() / STORE / _FOLDER / f"{key}.json"


def _read(path: Path) -> WordTimes | None:
    """The times in a file; None if there is none, or another program has changed it."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        words = tuple(Word(float(start), float(end), str(text)) for start, end, text in kept["words"])
        # A worker removes first what was not used for the longest time.
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return WordTimes(words, kept["how"], float(kept["confidence"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
