"""The text encoder that encodes prompts together and frees its weights, with the real CLIP of tiny umt5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from story_studio.core import loading
from story_studio.core.text_encoder import TextEncoder
from tests.comfy_models import FindFile

TEXTS = ["a keeper (with a lamp) speaks", "a lamp", ""]


@pytest.fixture
def load(find_file: FindFile, inference: None) -> Callable[[], Any]:
    path = find_file("text_encoders", "umt5_xxl_fp8_e4m3fn_scaled")
    return lambda: loading.load_text_encoder(path, [])


class Counted:
    """Counts the reads of a file."""

    def __init__(self, load: Callable[[], Any]):
        self._load, self.reads = load, 0

    def __call__(self) -> Any:
        self.reads += 1
        return self._load()


def encode(clip: Any, text: str) -> list[Any]:
    """As ComfyUI's CLIP Text Encode does it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def assert_equal(first: list[Any], second: list[Any]) -> None:
    ((tensor, more),) = first
    ((expected, expected_more),) = second
    assert torch.equal(tensor, expected)
    assert more.keys() == expected_more.keys()


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("expected", [[], TEXTS[:1], TEXTS], ids=["none", "some", "all"])
def test_encodes_as_comfyui_does(load: Callable[[], Any], keeps: bool, expected: list[str]) -> None:
    stock, read = load(), Counted(load)
    clip = TextEncoder(read, lambda: expected, lambda: keeps)
    for text in TEXTS:
        assert_equal(encode(clip, text), encode(stock, text))


def test_all_expected_texts_are_encoded_before_the_weights_are_freed(load: Callable[[], Any]) -> None:
    read = Counted(load)
    clip = TextEncoder(read, lambda: TEXTS, lambda: False)
    assert clip.is_freed
    assert clip.get_ram_usage() == 0
    for text in TEXTS:
        encode(clip, text)
    assert (read.reads, clip.is_freed) == (1, True)


def test_freed_weights_are_read_once_for_the_texts_of_the_next_prompt(load: Callable[[], Any]) -> None:
    read, expected = Counted(load), TEXTS[:1]
    clip = TextEncoder(read, lambda: expected, lambda: False)
    encode(clip, TEXTS[0])
    expected = ["another keeper", "another lamp"]
    for text in expected:
        encode(clip, text)
    assert (read.reads, clip.is_freed) == (2, True)


def test_what_uses_the_weights_reads_them_again(load: Callable[[], Any]) -> None:
    stock = load()
    for use in (
        lambda clip: clip.encode_from_tokens(clip.tokenize(TEXTS[0])),
        lambda clip: clip.encode(TEXTS[0]),
        lambda clip: encode(clip.clone(), TEXTS[0])[0][0],
        lambda clip: clip.encode_from_tokens_scheduled(clip.tokenize(TEXTS[0]), add_dict={"x": 1})[0][0],
        lambda clip: torch.tensor(len(clip.add_patches({}))),
        lambda clip: torch.tensor(clip.load_model() is not None),
    ):
        clip = TextEncoder(load, lambda: TEXTS, lambda: False)
        assert torch.equal(use(clip), use(stock))


@pytest.mark.parametrize("method", ["get_sd", "get_key_patches"])
def test_its_weights_are_those_of_the_file_after_they_were_freed(
    load: Callable[[], Any], method: str
) -> None:
    clip = TextEncoder(load, lambda: TEXTS, lambda: False)
    try:
        expected = getattr(load(), method)()
    except AttributeError:
        # Newer versions cannot hand out scaled weights that are in the older format.
        with pytest.raises(AttributeError):
            getattr(clip, method)()
    else:
        assert getattr(clip, method)().keys() == expected.keys()
    assert not clip.is_freed


def test_an_unexpected_text_does_not_encode_the_others_again(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, read = TextEncoder(load, lambda: TEXTS, lambda: True), list[Any]()
    network: Any = clip.cond_stage_model
    stock = network.encode_token_weights
    monkeypatch.setattr(network, "encode_token_weights", lambda tokens: read.append(tokens) or stock(tokens))
    for text in [*TEXTS, "computed"]:
        encode(clip, text)
    assert len(read) == len(TEXTS) + 1


def test_a_changed_encoder_does_not_hand_out_what_was_encoded_before(load: Callable[[], Any]) -> None:
    stock, clip = load(), TextEncoder(load, lambda: TEXTS, lambda: True)
    encode(clip, TEXTS[0])
    for each in (stock, clip):
        each.clip_layer(-2)
    assert_equal(encode(clip, TEXTS[1]), encode(stock, TEXTS[1]))


def test_a_change_outlasts_the_weights(load: Callable[[], Any]) -> None:
    stock, clip = load(), TextEncoder(load, lambda: TEXTS, lambda: False)
    for each in (stock, clip):
        each.clip_layer(-2)
    assert_equal(encode(clip, TEXTS[1]), encode(stock, TEXTS[1]))


def test_embeddings_among_the_tokens_are_encoded_as_they_are(load: Callable[[], Any]) -> None:
    stock, clip = load(), TextEncoder(load, lambda: TEXTS, lambda: True)
    tokens = stock.tokenize(TEXTS[0])
    (name,) = tokens
    tokens[name][0][0] = (torch.ones(4096), *tokens[name][0][0][1:])
    both = [each.encode_from_tokens_scheduled(tokens)[0][0] for each in (clip, stock)]
    assert torch.equal(*both)
