"""Letters read by wav2vec2 and its head: a tiny one, from a file like the real one, that knows six tones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from story_studio.core import loading, wav2vec2
from story_studio.media.alignment import VOCABULARIES
from story_studio.s2v import audio, letters
from tests import model_builders
from tests.comfy_models import FindFile
from tests.tiny_models import random_weight

RATE = audio.SAMPLE_RATE
TONES = "aelnst"
VOCABULARY = VOCABULARIES[33]
SAID = ("tale", "at", "a", "salt", "neat", "stant", "lessen")
DAMPED = ("out_proj.weight", "output_dense.weight", "weight.original0")
"""What mixes the frames with each other: so small that a linear head can tell the tones apart."""


class Reader(NamedTuple):
    file: Path
    encoder: Any
    head: letters.Head


def say(words: Sequence[str], seed: int) -> tuple[torch.Tensor, list[tuple[float, float]], np.ndarray]:
    """Words as tones, one for each letter: samples [1, n], the words' times, the token of each sample."""
    rng = np.random.default_rng(seed)
    sounds, tokens, spans = [np.zeros(RATE // 4)], [np.zeros(RATE // 4, int)], []
    for word in words:
        start = sum(map(len, sounds)) / RATE
        for letter in word:
            length = int(rng.uniform(0.06, 0.12) * RATE)
            time, pitch = np.arange(length) / RATE, 250 * 1.22 ** TONES.index(letter)
            fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 80)
            sound = np.sin(2 * np.pi * pitch * time) + 0.5 * np.sin(2 * np.pi * 2.1 * pitch * time)
            # A letter that comes twice is heard twice.
            sounds += [0.3 * fade * sound, np.zeros(RATE // 50)]
            tokens += [np.full(length, VOCABULARY.index(letter)), np.zeros(RATE // 50, int)]
        spans.append((start, sum(map(len, sounds)) / RATE - 0.02))
        pause = int(rng.uniform(0.08, 0.4) * RATE)
        sounds.append(np.zeros(pause))
        tokens.append(np.zeros(pause, int))
    return torch.from_numpy(np.concatenate(sounds)).float()[None], spans, np.concatenate(tokens)


def trained_head(encoder: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight and bias that tell the tones apart, by least squares over a recording of them."""
    rng = np.random.default_rng(0)
    samples, _, tokens = say(["".join(rng.choice(list(TONES), 5)) for _ in range(12)], 1)
    mono = samples[0].numpy()
    mean, deviation = audio.statistics(mono)
    device = wav2vec2.load(encoder)
    features = audio.convolve(encoder, ((samples[0] - mean) / deviation).to(device))
    hidden = wav2vec2.last_hidden_state(encoder, features).cpu().double()
    middles = torch.arange(len(hidden)) * audio.HOP + audio.RECEPTIVE_FIELD // 2
    wanted = torch.nn.functional.one_hot(torch.from_numpy(tokens)[middles], len(VOCABULARY)).double()
    known = torch.cat([hidden, torch.ones(len(hidden), 1)], dim=1)
    solved = torch.linalg.solve(known.T @ known + 0.1 * torch.eye(known.shape[1]), known.T @ wanted)
    return (10 * solved[:-1].T).float().contiguous(), (10 * solved[-1]).float()


@pytest.fixture(scope="module")
def reader(find_file: FindFile, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """An encoder from a file with a head, as ComfyUI loads it."""
    assert find_file  # ComfyUI's loader takes tiny encoders from then on.
    file = tmp_path_factory.mktemp("letters") / "wav2vec2.safetensors"
    weights = {}
    for name, tensor in model_builders.wav2vec2(128).state_dict().items():
        weight = random_weight("letters", name, tensor.shape)
        weights[name] = (0.02 * weight if name.endswith(DAMPED) else weight).half().contiguous()
    save_file(weights, file)
    with torch.inference_mode():
        encoder = loading.load_audio_encoder(str(file))
        weight, bias = trained_head(encoder)
    save_file({**load_file(file), "lm_head.weight": weight.clone(), "lm_head.bias": bias.clone()}, file)
    return Reader(file, encoder, letters.read_head(file))


def align(reader: Reader, words: Sequence[str], samples: torch.Tensor, rate: int = RATE) -> Any:
    return letters.align(words, reader.encoder, reader.head, samples, rate, lambda done: None)


def test_words_have_the_times_of_their_tones(reader: Reader) -> None:
    samples, spans, _ = say(SAID, 5)
    found = align(reader, SAID, samples)
    assert found and found.how == "aligned" and found.confidence > 0.5
    assert [word.text for word in found.words] == list(SAID)
    off = np.abs(np.array([word[:2] for word in found.words]) - np.array(spans))
    assert np.median(off) < 0.02 and off.max() < 0.08


def test_any_rate_and_number_of_channels_is_read(reader: Reader) -> None:
    samples, spans, _ = say(SAID[:3], 6)
    stereo = samples.repeat_interleave(2, dim=1).repeat(2, 1)
    found = align(reader, SAID[:3], stereo, 2 * RATE)
    assert found
    assert np.array([word[:2] for word in found.words]) == pytest.approx(np.array(spans), abs=0.08)


def test_another_text_is_not_aligned(reader: Reader) -> None:
    samples, _, _ = say(SAID, 5)
    assert align(reader, ["buy", "more", "milk", "now"], samples) is None
    assert align(reader, ["海", "边", "灯", "塔"], samples) is None


def test_windows_read_the_same_as_the_whole(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _, _ = say(SAID[:3], 7)
    whole = letters.log_probabilities(reader.encoder, reader.head, samples, RATE)
    monkeypatch.setattr(letters, "_WINDOW", 30)
    monkeypatch.setattr(letters, "_CONTEXT", 70)
    done: list[float] = []
    parts = letters.log_probabilities(reader.encoder, reader.head, samples, RATE, done.append)
    assert parts.shape == whole.shape == ((samples.shape[1] - 400) // 320 + 1, 33)
    assert np.exp(parts) == pytest.approx(np.exp(whole), abs=0.05)
    assert len(done) > 2 and done == sorted(done) and done[-1] == 1


def test_only_a_file_with_a_head_for_known_letters_can_read(reader: Reader, tmp_path: Path) -> None:
    assert letters.has_head(reader.file)
    weights = {"lm_head.weight": torch.zeros(33, 8), "lm_head.bias": torch.zeros(33)}
    for name, changed, able in (
        ("base", {"lm_head.weight": torch.zeros(32, 8), "lm_head.bias": torch.zeros(32)}, True),
        ("german", {"lm_head.weight": torch.zeros(38, 8), "lm_head.bias": torch.zeros(38)}, False),
        ("none", {"other": torch.zeros(1)}, False),
    ):
        save_file(changed, tmp_path / f"{name}.safetensors")
        assert letters.has_head(tmp_path / f"{name}.safetensors") == able
    torch.save(weights, tmp_path / "pickle.pt")
    assert not letters.has_head(tmp_path / "pickle.pt")
    assert not letters.has_head(tmp_path / "missing.safetensors")


def test_a_moment_of_sound_has_no_frames(reader: Reader) -> None:
    found = letters.log_probabilities(reader.encoder, reader.head, torch.zeros(1, 300), RATE)
    assert found.shape == (0, 33)
