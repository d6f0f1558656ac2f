"""Forced alignment of a text to the probabilities of its letters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from story_studio.media import alignment
from story_studio.media.alignment import VOCABULARIES, align, can_read, letters_of

LETTERS = VOCABULARIES[33]


def log_probabilities(frames: str, sure: float = 0.95) -> np.ndarray:
    """A frame for each letter of a string, where _ is the blank and | the space."""
    found = np.full((len(frames), len(LETTERS)), np.log((1 - sure) / (len(LETTERS) - 1)), np.float32)
    for frame, letter in enumerate(frames):
        found[frame, 0 if letter == "_" else LETTERS.index(letter)] = np.log(sure)
    return found


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """What a path of CTC spells: repeated tokens count once, and blanks not at all."""
    return tuple(token for token, _ in itertools.groupby(path) if token)


@pytest.mark.parametrize("labels", [(1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (2,)])
def test_the_path_is_the_likeliest_of_all_that_spell_the_labels(labels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(labels))
    for _ in range(5):
        # The last two tokens, any letter and the joint of two words, take no part here.
        scores = rng.standard_normal((6, 5)).astype(np.float32)
        scores[:, 4] = scores[:, 0]
        spelling = (path for path in itertools.product(range(3), repeat=6) if collapsed(path) == labels)
        best = max(spelling, key=lambda path: scores[np.arange(6), path].sum())
        found = alignment._path(scores, np.array(labels), np.zeros(len(labels), int))
        assert found is not None
        assert tuple(labels[state // 2] if state % 2 else 0 for state in found) == best


def test_words_have_the_frames_of_their_letters() -> None:
    found = align(["Hello,", "—", "ALL!"], log_probabilities("__h_el_llo__|_aa_l_l__"), LETTERS)
    assert found
    assert found.spans == [(2, 10), None, (14, 20)]
    assert found.confidence == pytest.approx(0.95)


@pytest.mark.parametrize("between", ["", "_", "_|_", "____"])
def test_a_space_between_words_need_not_be_read(between: str) -> None:
    found = align(["on", "time"], log_probabilities(f"on{between}time"), LETTERS)
    assert found and found.confidence == pytest.approx(0.95)
    assert found.spans == [(0, 2), (2 + len(between), 6 + len(between))]


def test_a_number_has_the_time_between_its_neighbours() -> None:
    found = align(["in", "1984", "we"], log_probabilities("_in_|_ni_net_een_ei_gh_ty_fo_ur_|_we_"), LETTERS)
    assert found and found.spans[0] == (1, 3) and found.spans[2] == (34, 36)
    start, end = found.spans[1] or (0, 0)
    assert 5 < start < 9 and 26 < end <= 33


def test_another_text_has_little_confidence() -> None:
    read = log_probabilities("_th_e_|_se_a_|_wa_s_|_fl_at_")
    right, wrong = (align(text.split(), read, LETTERS) for text in ("the sea was flat", "buy more milk now"))
    assert right and wrong
    assert right.confidence > 0.9 and wrong.confidence < 0.05


def test_a_text_that_is_too_long_is_not_found() -> None:
    assert align(["hello"], log_probabilities("hel"), LETTERS) is None
    assert align(["hello"], log_probabilities("helo_"), LETTERS) is None


def test_a_band_finds_the_same_as_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), rng.integers(1, 8))) for _ in range(120)]
    frames = "|".join("_".join(f"{letter}{'_' * rng.integers(0, 4)}" for letter in word) for word in words)
    read = log_probabilities(frames, 0.4)
    whole = align(words, read, LETTERS)
    monkeypatch.setattr(alignment, "_BAND", 64)
    assert align(words, read, LETTERS) == whole
    assert whole and all(whole.spans)


@pytest.mark.parametrize(
    ("word", "letters"),
    [("l’Été", "l'ete"), ("‘don't’", "don't"), ("Straße.", "strasse"), ("Łódź", "lodz"), ("well-", "well")],
)
def test_words_are_written_in_the_letters_of_the_vocabulary(word: str, letters: str) -> None:
    assert "".join(LETTERS[letter] for letter in letters_of(word, LETTERS)) == letters


def test_what_has_no_letters_is_of_any_letters_or_silent() -> None:
    assert letters_of("—", LETTERS) == []
    assert letters_of("7%", LETTERS) == [-1] * 4
    assert letters_of("海", LETTERS) == [-1]
    assert can_read(["see", "海"], LETTERS)
    assert not can_read(["灯", "塔", "LED"], LETTERS)


def test_both_vocabularies_have_all_letters() -> None:
    for size, letters in VOCABULARIES.items():
        assert len(letters) == size
        assert set("abcdefghijklmnopqrstuvwxyz'|") <= set(letters)
