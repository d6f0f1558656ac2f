"""Words timed by the loudness of a recording, and the ends of aligned words."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from story_studio.media import spoken
from story_studio.media.word_times import detected, estimate, fit
from tests.media.sentences import WORDS, sentence

RATE = 16_000
TEXT = (
    "Nobody remembers who painted the old bridge red. Some say it was a soldier, others say the rain; "
    "my grandmother knew, but she never told."
)
Spans = list[tuple[float, float]]


def say(
    words: Sequence[str], rng: Random, gaps: tuple[float, float], noise: float = 0.0
) -> tuple[np.ndarray, Spans]:
    """A recording of words, each a sound of about its length that swells, after 0.3 s of silence."""
    parts, spans, at = [np.zeros(int(0.3 * RATE))], [], 0.3
    for word in words:
        length = round(spoken.seconds(word) * rng.uniform(0.75, 1.3), 3)
        time = np.arange(int(length * RATE)) / RATE
        loudness = 0.05 + 0.25 * np.sin(np.pi * time / length) ** 0.5
        parts.append(loudness * np.sin(2 * np.pi * 180 * time))
        spans.append((at, at + length))
        gap = rng.uniform(*gaps) + (0.4 if spoken.pause_after(word) == "sentence" else 0)
        parts.append(np.zeros(int(gap * RATE)))
        at += length + gap
    audio = np.concatenate(parts)
    audio += noise * np.random.default_rng(0).standard_normal(len(audio))
    return audio.astype(np.float32)[None], spans


def errors(text: str, audio: np.ndarray, spans: Spans) -> np.ndarray:
    found = [word for word in detected(text, audio, RATE) if word.end > word.start]
    return np.abs(np.array([word[:2] for word in found]) - np.array(spans))


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_words_between_pauses_are_found(noise: float) -> None:
    audio, spans = say(spoken.words(TEXT), Random(3), (0.05, 0.6), noise)
    off = errors(TEXT, audio, spans)
    assert np.median(off) < 0.02
    assert np.quantile(off, 0.9) < 0.08


def test_words_without_pauses_end_in_the_dips_of_the_voice() -> None:
    audio, spans = say(spoken.words(TEXT), Random(4), (0.0, 0.0))
    assert np.median(errors(TEXT, audio, spans)) < 0.04


def test_a_cough_belongs_to_no_word() -> None:
    words = ["Good", "evening,", "ladies", "and", "gentlemen"]
    audio, spans = say(words, Random(5), (0.1, 0.1))
    cough = 0.3 * np.random.default_rng(1).standard_normal((1, int(0.15 * RATE))).astype(np.float32)
    silence = np.zeros((1, RATE), np.float32)
    off = errors(" ".join(words), np.concatenate([audio, silence, cough, silence], axis=1), spans)
    assert off.max() < 0.1


@pytest.mark.parametrize("script", WORDS)
def test_every_word_of_any_script_has_its_time(script: str) -> None:
    rng = Random(script)
    for _ in range(3):
        text = sentence(rng, script)
        audio, _ = say([word for word in spoken.words(text) if spoken.seconds(word)], rng, (0.0, 0.2))
        found = detected(text, audio, RATE)
        # A no-break space is within a word.
        assert "".join("".join(word.text for word in found).split()) == "".join(text.split())
        times = [moment for word in found for moment in (word.start, word.end)]
        assert times == sorted(times)
        assert times[0] >= 0 and times[-1] <= audio.shape[1] / RATE
        assert all((word.end > word.start) == bool(spoken.seconds(word.text)) for word in found)


@pytest.mark.parametrize("samples", [0, 10, RATE])
def test_silence_is_shared_by_all_words(samples: int) -> None:
    found = detected("One two — three", np.zeros((2, samples), np.float32), RATE)
    assert [word.text for word in found] == ["One", "two", "—", "three"]
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(samples / RATE)
    assert found[2].start == found[2].end == found[1].end


def test_a_text_without_words_has_no_times() -> None:
    assert detected("", np.ones((1, RATE), np.float32), RATE) == []
    assert [word[:2] for word in detected("— …", np.ones((1, RATE), np.float32), RATE)] == [(0, 0), (0, 0)]


def test_more_words_than_could_be_said_share_the_time() -> None:
    audio, _ = say(["Yes."], Random(0), (0.1, 0.1))
    found = detected("word " * 300, audio, RATE)
    assert len(found) == 300
    assert found[-1].end <= audio.shape[1] / RATE


def test_a_long_recording_is_followed_where_the_pace_changes() -> None:
    """Levels of eleven minutes, whose first half is said a good deal more slowly than the second."""
    rng, words, level, spans = Random(7), spoken.words(TEXT) * 70, [np.full(30, -80.0)], []
    at = 30
    for number, word in enumerate(words):
        pace = 1.15 if number < len(words) / 2 else 0.8
        length = max(4, round(100 * pace * spoken.seconds(word) * rng.uniform(0.75, 1.3)))
        level.append(-20 - 20 * np.abs(np.linspace(-1, 1, length)) ** 4)
        spans.append((at / 100, (at + length) / 100))
        gap = rng.choice([0, 0, 5, 20]) + (60 if spoken.pause_after(word) == "sentence" else 0)
        level.append(np.full(gap, -80.0))
        at += length + gap
    assert at > 600 * 100
    levels = np.concatenate(level).astype(np.float32)
    found = np.array([word[:2] for word in estimate(words, levels, at / 100)])
    assert np.median(np.abs(found - np.array(spans))) < 0.08


def test_aligned_words_end_where_the_voice_does() -> None:
    """The letters are within the words: the edges are where silence begins, or in a dip without any."""
    level = np.full(300, -80.0, np.float32)
    level[50:200] = -20
    level[118:122] = -30
    level[230:260] = -20
    found = fit(["one", "two", "—", "three"], [(0.6, 1.0), (1.3, 1.9), None, (2.4, 2.5)], level, 3.0)
    assert np.array([word[:2] for word in found]) == pytest.approx(
        np.array([(0.5, 1.2), (1.2, 2.0), (2.0, 2.0), (2.3, 2.6)]), abs=0.021
    )


def test_the_loudness_moves_an_aligned_word_only_so_far() -> None:
    level = np.full(500, -20.0, np.float32)
    level[:5] = level[-5:] = -80
    (word,) = fit(["one"], [(2.0, 2.2)], level, 5.0)
    assert word[:2] == pytest.approx((1.7, 2.5))


def test_aligned_words_never_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count, length = rng.integers(0, 12), rng.integers(20, 300)
        level = np.repeat(np.where(rng.random(60) < 0.5, -20, -80), 5).astype(np.float32)[:length]
        letters = np.sort(rng.integers(0, length // 2 + 1, 2 * count)).reshape(-1, 2) * 0.02 + 0.0125
        found = fit(
            ["word"] * count, [(first, last) for first, last in letters.tolist()], level, length / 100
        )
        times = [moment for word in found for moment in word[:2]]
        assert times == sorted(times)
        assert all(0 <= moment <= length / 100 for moment in times)
