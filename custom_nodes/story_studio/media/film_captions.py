"""The captions of a film: what is spoken in its shots, in each language, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from . import captions
from .audio_track import AudioTrack
from .encoder import SAMPLE_RATE
from .text import is_visible

Cue = tuple[float, float, str]
Tracks = dict[str, list[Cue]]
"""Captions by language tag; that of the shots' texts comes first."""


class Spoken(NamedTuple):
    """What is spoken between two times of the film, in seconds, and translations by language tag."""

    text: str
    translations: Mapping[str, str]
    start: float
    end: float


def caption_tracks(shots: Sequence[Spoken], language: str, audio: AudioTrack) -> Tracks:
    """The captions of all shots; languages without any are left out.

    Args:
        shots: in order.
        language: the tag of the texts; empty if it is unknown.
        audio: the film's voices, in which speech is found.
    """
    further = dict.fromkeys(tag for shot in shots for tag in shot.translations if tag != language)
    tracks: Tracks = {tag: [] for tag in (language, *further)}
    for shot in shots:
        texts = {**shot.translations, language: shot.text}
        texts = {tag: text for tag, text in texts.items() if is_visible(text)}
        if not texts:
            continue
        start, end = (round(seconds * SAMPLE_RATE) for seconds in (shot.start, shot.end))
        speech = captions.speech_spans(audio.read(start, end), SAMPLE_RATE)
        for tag, text in texts.items():
            cues = captions.cues(text, shot.end - shot.start, speech)
            tracks[tag] += [(shot.start + first, shot.start + last, shown) for first, last, shown in cues]
    return {tag: cues for tag, cues in tracks.items() if cues}
