"""Forced alignment: when each word of a text is said, from the probabilities of its letters over time.

The probabilities are those of a model trained with CTC (Graves et al., "Connectionist Temporal
Classification", ICML 2006), which for each frame gives a letter or a blank. The likeliest path that spells
the text is found by the Viterbi algorithm over the text's letters with a blank between any two. torchaudio's
`forced_align` finds the same one, but is deprecated, and its table of frames times letters takes gigabytes
for half an hour; here a band of it moves along.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import spoken

_SPECIAL = "\0\0\0\0|"
"""Blank, start, end, unknown, and the space between words: the first tokens of both vocabularies."""
VOCABULARIES = {
    33: _SPECIAL + "'-abcdefghijklmnopqrstuvwxyz",
    32: _SPECIAL + "etaonihsrdlumwcfgypbvk'xjqz",
}
"""Letters by the index of their token, by the size of the model's head: those of
`jonatasgrosman/wav2vec2-large-xlsr-53-english` and of `facebook/wav2vec2-*-960h` on Hugging Face."""
_BLANK, _SPACE = 0, 4
_WRITTEN = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "’": "'"}
)
_UNKNOWN_PER_DIGIT = 3
"""Letters of any kind that stand for a digit, whose name depends on the language."""
_BAND = 2048
"""States that are kept at a time: more than half a minute of text on both sides of what is likeliest."""


class Aligned(NamedTuple):
    """A text's words in a recording.

    Attributes:
        spans: for each word its first frame and the one after its last; None for words without a sound.
        confidence: the geometric mean of the probabilities of its letters, 0 to 1.
    """

    spans: list[tuple[int, int] | None]
    confidence: float


def letters_of(word: str, vocabulary: str) -> list[int]:
    """The tokens of a word's letters, without accents; -1 for what is spoken and not in the vocabulary."""
    if not spoken.seconds(word):
        return []
    plain = unicodedata.normalize("NFKD", word.lower().translate(_WRITTEN))
    found: list[int] = []
    for letter in plain.strip("'"):
        kind = unicodedata.category(letter)[0]
        if letter in vocabulary[_SPACE + 1 :] and letter != "-":
            found.append(vocabulary.index(letter))
        elif kind == "N":
            found += [-1] * _UNKNOWN_PER_DIGIT
        elif kind == "L" or spoken.seconds(letter):
            found.append(-1)
    return found or [-1]


def can_read(words: Sequence[str], vocabulary: str) -> bool:
    """Whether half of the words or more have a letter of the vocabulary."""
    letters = [found for word in words if (found := letters_of(word, vocabulary))]
    return sum(max(found) >= 0 for found in letters) * 2 >= len(letters)


def align(words: Sequence[str], log_probabilities: np.ndarray, vocabulary: str) -> Aligned | None:
    """Finds the words in a recording.

    Args:
        words: in order.
        log_probabilities: float32 [frames, tokens], natural logarithms.
        vocabulary: one of `VOCABULARIES`.

    Returns:
        None if the recording has too few frames for the text.
    """
    scores = _with_joint_tokens(log_probabilities)
    unknown = scores.shape[1] - 2
    letters = [letters_of(word, vocabulary) for word in words]
    owners = np.repeat(np.arange(len(words)), list(map(len, letters)))
    labels = np.array([unknown if letter < 0 else letter for word in letters for letter in word], np.int64)
    if not len(labels):
        return Aligned([None] * len(words), 0.0)
    path = _path(scores, labels, owners)
    return None if path is None else _read(path, scores, labels, owners, len(words))


def _with_joint_tokens(log_probabilities: np.ndarray) -> np.ndarray:
    """The same with two more tokens: any letter; and what is between two words, a space or nothing."""
    letters = log_probabilities[:, _SPACE + 1 :].max(axis=1)
    joint = np.logaddexp(log_probabilities[:, _BLANK], log_probabilities[:, _SPACE])
    return np.column_stack([log_probabilities, letters, joint])


def _path(scores: np.ndarray, labels: np.ndarray, owners: np.ndarray) -> np.ndarray | None:
    """The state of the likeliest path at each frame: 2n + 1 for the nth label, even ones for what is between.

    Args:
        scores: [frames, tokens], of which the last two are any letter and the joint of two words.
        labels: the tokens of the letters of all words.
        owners: the word of each label.
    """
    any_letter, joint = scores.shape[1] - 2, scores.shape[1] - 1
    states = np.full(2 * len(labels) + 1, _BLANK)
    states[1::2] = labels
    states[::2][np.diff(owners, prepend=-1, append=-1) != 0] = joint
    frames, count = len(scores), len(states)
    width = min(_BAND, count)
    if frames < len(labels):
        return None
    # A label may follow another one without a blank between them unless they are the same.
    skips = np.zeros(count, bool)
    skips[3::2] = (labels[1:] != labels[:-1]) | (labels[1:] == any_letter)
    offsets = np.zeros(frames, np.int64)
    packed = np.zeros((frames, 2, (width + 7) // 8), np.uint8)
    best = np.full(width, -np.inf, np.float64)
    best[:2] = scores[0, states[:2]]
    for frame in range(1, frames):
        offset = _next_offset(int(offsets[frame - 1]), best, frames - frame, count)
        best, by_one, by_two = _step(best, offset - int(offsets[frame - 1]), skips[offset : offset + width])
        best += scores[frame, states[offset : offset + width]]
        offsets[frame] = offset
        packed[frame] = np.packbits(by_one), np.packbits(by_two)
    final = best[-2:] if offsets[-1] + width == count else np.full(2, -np.inf)
    if not np.isfinite(final).any():
        return None
    return _walk_back(packed, offsets, count - 2 + int(final.argmax()))


def _next_offset(offset: int, best: np.ndarray, frames_left: int, count: int) -> int:
    """Where the band starts at the next frame: around the likeliest state, with the end in reach."""
    width = len(best)
    wanted = max(offset + int(best.argmax()) - width // 2, count - width - 2 * (frames_left - 1))
    return min(max(wanted, offset), offset + 2, count - width)


def _step(best: np.ndarray, moved: int, skips: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best scores before a frame's own, and which of them come from one or from two states before."""
    width = len(best)
    padded = np.concatenate([np.full(2, -np.inf), best, np.full(2, -np.inf)])
    stay, one, two = (padded[2 + moved - back : 2 + moved - back + width] for back in (0, 1, 2))
    two = np.where(skips, two, -np.inf)
    by_two = (two > one) & (two > stay)
    by_one = ~by_two & (one > stay)
    return np.where(by_two, two, np.where(by_one, one, stay)), by_one, by_two


def _walk_back(packed: np.ndarray, offsets: np.ndarray, state: int) -> np.ndarray:
    path = np.zeros(len(packed), np.int64)
    for frame in range(len(packed) - 1, -1, -1):
        path[frame] = state
        at = state - int(offsets[frame])
        one, two = (int(bits[at >> 3]) >> (7 - (at & 7)) & 1 for bits in packed[frame])
        state -= one + 2 * two
    return path


def _read(
    path: np.ndarray, scores: np.ndarray, labels: np.ndarray, owners: np.ndarray, count: int
) -> Aligned:
    """The words' frames, and how likely their letters are: each at the frame where it is likeliest."""
    frames = np.flatnonzero(path % 2)
    at = path[frames] // 2
    found = np.full(len(labels), -np.inf)
    np.maximum.at(found, at, scores[frames, labels[at]])
    spans: list[tuple[int, int] | None] = [None] * count
    for frame, owner in zip(frames.tolist(), owners[at].tolist(), strict=True):
        span = spans[owner]
        spans[owner] = (span[0] if span else frame, frame + 1)
    # Any letter is likely in any recording.
    known = found[labels < scores.shape[1] - 2]
    return Aligned(spans, float(np.exp(known.mean())) if len(known) else 0.0)
