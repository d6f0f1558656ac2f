"""Captions: splitting and timing."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from story_studio.media import spoken
from story_studio.media.captions import cues
from story_studio.media.word_times import estimate
from story_studio.signal.voice_levels import speech_spans
from tests.media.sentences import UNSPACED, WORDS, sentence

ENGLISH = (
    "Once upon a time, in a small village by the sea, there lived an old fisherman who had never caught "
    "anything but stories. He told them to everyone who would listen — the children, the gulls, even "
    "the tide. One night, the sea answered."
)
CHINESE = (
    "从前，在海边的一个小村庄里，住着一位老渔夫，他一辈子除了故事什么也没有捕到过。一天夜里，大海回答了他。"
)


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def captions(text: str) -> list[str]:
    return [cue.text for cue in cues(text, 20, None)]


def test_breaks_at_sentences_and_clauses():
    assert captions(ENGLISH) == [
        "Once upon a time,\nin a small village by the sea,",
        "there lived an old fisherman who had\nnever caught anything but stories.",
        "He told them to everyone who would listen —\nthe children, the gulls, even the tide.",
        "One night, the sea answered.",
    ]


def test_chinese_never_starts_a_line_with_a_comma():
    lines = "\n".join(captions(CHINESE)).split("\n")
    assert len(lines) > 2
    assert not any(line[0] in "，。" for line in lines)
    assert "".join(lines) == CHINESE


def test_short_sentences_share_a_caption():
    assert captions("Yes. No. Mr. Smith went home.") == ["Yes. No. Mr. Smith went home."]


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("aé .,!?—“”海。，\n\tx1{}"), max_size=400) | st.just("x" * 300),
    st.floats(0.1, 600),
)
@example("111111111111111111。—1111111。1。。。。。。", 1.0)
def test_nothing_is_lost_and_nothing_overflows(text, seconds):
    captions = cues(text, seconds, [(0.1 * seconds, 0.4 * seconds), (0.5 * seconds, 0.9 * seconds)])
    assert "".join("".join(cue.text.split()) for cue in captions) == "".join(text.split())
    for cue in captions:
        assert cue.text.count("\n") <= 1
        assert columns(cue.text) <= 86
    times = [moment for cue in captions for moment in (cue.start, cue.end)]
    assert times == sorted(times)
    assert all(0 <= moment <= seconds for moment in times)
    words = [word for cue in captions for word in cue.words]
    assert "".join("".join(word.text.split()) for word in words) == "".join(text.split())
    times = [moment for word in words for moment in (word.start, word.end)]
    assert times == sorted(times)
    assert all(cue.start <= word.start <= word.end <= cue.end for cue in captions for word in cue.words)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("aé .,!?—“”海。，\n\tx1{}"), min_size=1, max_size=120), st.integers(0, 99))
@example("a b. —c", 3)
def test_timed_words_are_within_their_captions(text: str, seed: int) -> None:
    loud = np.random.default_rng(seed).random(500) < 0.6
    level = np.where(loud, -20, -60).astype(np.float32)
    captions = cues(text, 5.0, [(0.5, 2.0)], estimate(spoken.words(text), level, 5.0))
    assert "".join("".join(cue.text.split()) for cue in captions) == "".join(text.split())
    for cue in captions:
        times = [cue.start, *(moment for word in cue.words for moment in (word.start, word.end)), cue.end]
        assert all(a <= b + 1e-9 for a, b in pairwise(times)) and 0 <= cue.start <= cue.end <= 5


@pytest.mark.parametrize("text", ["", "  \n "])
def test_no_text_no_captions(text):
    assert cues(text, 5, None) == []


def test_captions_follow_the_speech_and_change_in_its_pauses():
    first, second = cues(
        "The first sentence is said here. And then there is another one.", 10, [(1, 4), (6, 9)]
    )
    assert first[0] == pytest.approx(1)
    assert 4 <= first[1] <= 6
    assert second[0] == pytest.approx(6)
    assert 9 <= second[1] <= 10


def spans_in(audio: np.ndarray, rate: int) -> list[tuple[float, float]]:
    return speech_spans(lambda start, end: audio[:, start:end], audio.shape[1], rate)


def test_speech_is_found_in_noise():
    """Also in stereo of opposite phase, and in audio with an offset."""
    rate, rng = 16000, np.random.default_rng(0)
    audio = rng.normal(0, 0.001, (2, rate * 8)).astype(np.float32)
    for start, end in ((0.5, 3.0), (3.6, 7.0)):
        audio[:, int(start * rate) : int(end * rate)] += rng.normal(
            0, 0.1, int(end * rate) - int(start * rate)
        )
    for heard in (audio, audio[:1], audio * [[1], [-1]], audio + 0.3, audio + [[0.3], [-0.3]]):
        spans = spans_in(heard.astype(np.float32), rate)
        assert np.array(spans) == pytest.approx(np.array([(0.5, 3.0), (3.6, 7.0)]), abs=0.05)


@pytest.mark.parametrize(
    "audio",
    [np.zeros((2, 16000), np.float32), np.zeros((1, 0), np.float32), np.full((2, 16000), 0.5, np.float32)],
)
def test_silence_has_no_speech(audio):
    assert spans_in(audio, 16000) == []


@pytest.mark.parametrize("text", ["\u200b", "\u200b\u2060 \ufeff", "\x00\x07", "\ud800", "\u00ad"])
def test_text_that_cannot_be_seen_has_no_captions(text):
    assert cues(text, 5, [(1, 2)]) == []


def test_an_accent_alone_is_shown_all_the_time():
    assert [(cue.start, cue.end, cue.text) for cue in cues("\u0301", 4, None)] == [(0, 4, "\u0301")]


def test_no_line_breaks_inside_a_word_with_an_apostrophe():
    text = "You shouldn’t have opened the door because the storm’s fury wasn’t over and the lamp’s not whole."
    assert " ".join(captions(text)).split() == text.split()


@pytest.mark.parametrize("script", WORDS)
def test_sentences_of_any_script_are_whole_and_fit(script):
    rng = Random(script)
    for _ in range(40):
        text = sentence(rng, script)
        lines = "\n".join(captions(text)).split("\n")
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert all(line and line == line.strip() for line in lines)
        assert max(map(wcswidth, lines)) <= 50
        if script not in UNSPACED:
            # A hyphen and an address may be broken, but no other word.
            words = {word for word in text.split() if "-" not in word and "/" not in word}
            assert words <= {word for line in lines for word in line.split()}


def test_a_long_word_is_broken_between_letters_as_they_are_seen():
    lines = "\n".join(captions("e\u0301" * 100 + " " + "👩\u200d🚀" * 60)).split("\n")
    assert len(lines) > 4
    assert not any(line[0] in "\u0301\u200d🚀" or line[-1] in "👩\u200d" for line in lines)


def test_each_line_of_a_caption_closes_its_directions():
    lines = "\n".join(captions("he said \u2067" + "שלום עולם " * 12 + "\u2069 and left")).split("\n")
    assert all(line.count("\u2067") == line.count("\u2069") for line in lines)
    assert sum("\u2067" in line for line in lines) > 1


def test_a_soft_hyphen_is_seen_only_where_a_line_breaks():
    shown = captions("Donau\u00addampf\u00adschiff\u00adfahrts\u00adgesell\u00adschafts\u00adkapitän " * 6)
    assert not any("\u00ad" in caption for caption in shown)
    assert "".join(shown).replace("-\n", "").startswith("Donaudampfschiff")
