"""The captions of a film: what is spoken in its shots, in each language, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..signal.voice_levels import speech_spans
from . import captions, word_times
from .audio_track import AudioTrack
from .captions import Cue, Word
from .encoder import SAMPLE_RATE
from .text import is_visible

Tracks = dict[str, list[Cue]]
"""Captions by language tag; that of the shots' texts comes first."""


class Spoken(NamedTuple):
    """What is spoken between two times of the film, in seconds.

    Attributes:
        text: its text.
        words: when they are said, in seconds from `start`; none if that is to be detected.
        translations: of the text, by language tag.
    """

    text: str
    words: Sequence[Word]
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
        speech = _speech(shot, audio)
        for tag, text in texts.items():
            words = (shot.words or _detected(text, shot, audio)) if tag == language else None
            cues = captions.cues(text, shot.end - shot.start, speech, words)
            tracks[tag] += [_delayed(cue, shot.start) for cue in cues]
    return {tag: cues for tag, cues in tracks.items() if cues}


def _speech(shot: Spoken, audio: AudioTrack) -> list[captions.Span]:
    """When somebody speaks, in seconds of the shot."""
    start, end = (round(seconds * SAMPLE_RATE) for seconds in (shot.start, shot.end))
    return speech_spans(lambda first, last: audio.read(start + first, start + last), end - start, SAMPLE_RATE)


def _detected(text: str, shot: Spoken, audio: AudioTrack) -> list[Word]:
    """When the words are said, judging from how loud it is."""
    start, end = (round(seconds * SAMPLE_RATE) for seconds in (shot.start, shot.end))
    return word_times.detected(text, audio.mapped(start, min(end, audio.samples)), SAMPLE_RATE)


def _delayed(cue: Cue, seconds: float) -> Cue:
    words = (Word(seconds + word.start, seconds + word.end, word.text) for word in cue.words)
    return Cue(seconds + cue.start, seconds + cue.end, cue.text, tuple(words))
