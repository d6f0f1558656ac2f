"""Prompts of Wan as the official code reads them, with the real CLIP of tiny umt5."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import ftfy
import pytest
import sentencepiece
import torch

from story_studio.core import loading
from story_studio.core.text_encoder import TextEncoder
from story_studio.core.wan_tokenizer import MAX_TOKENS, NAME, cleaned
from tests.comfy_models import FindFile
from tests.model_builders import sentencepiece_model

LONG = "the quick brown fox jumps over the lazy dog, " * 80 + "and the lamp goes out"
ORDINARY = ["a keeper (with a lamp) speaks", "a lamp", "", "an old (keeper:1.2) \\(grey\\), the sea"]
UNTIDY = [
    "the keeper’s “lamp”",
    "a  lamp\n\n in the\tnight ",
    "Tom &amp; Jerry &amp;lt;b&amp;gt;",
    "a lamp（lit）， 全角！",
    "â€œA lampâ€\x9d itâ€™s lit",
    "a\x00 lamp \ud83d",
    "ﬁne &#40;very fine&#41;",
]


@pytest.fixture
def load(find_file: FindFile, inference: None) -> Callable[[], Any]:
    path = find_file("text_encoders", "umt5_xxl_fp8_e4m3fn_scaled")
    return lambda: loading.load_text_encoder(path, [])


@pytest.fixture
def clip(load: Callable[[], Any]) -> Any:
    return TextEncoder(load, list, lambda: True)


def encode(clip: Any, text: str) -> torch.Tensor:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]


def officially_cleaned(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(text)))).strip()


def official_tokens(text: str) -> list[int]:
    """At most 512, of which the last is the end of the text."""
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    return [*tokenizer.encode(officially_cleaned(text))[: MAX_TOKENS - 1], 1]


def encoded_officially(clip: Any, text: str) -> torch.Tensor:
    """The encoder's output for 512 tokens with a mask; what is masked is zero."""
    network = getattr(clip.cond_stage_model, NAME)
    ids = official_tokens(text)
    mask = torch.tensor([[1] * len(ids) + [0] * (MAX_TOKENS - len(ids))])
    padded = torch.tensor([ids + [0] * (MAX_TOKENS - len(ids))])
    clip.load_model()
    embedded = network.transformer.get_input_embeddings()(padded, out_dtype=torch.float32)
    output = network.transformer(None, mask, embeds=embedded, num_tokens=[len(ids)], dtype=torch.float32)
    return output[0].float() * mask[..., None]


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_prompt_gives_exactly_what_comfyui_gives(
    clip: Any, load: Callable[[], Any], text: str
) -> None:
    assert torch.equal(encode(clip, text), encode(load(), text))


@pytest.mark.parametrize("text", [*UNTIDY, LONG, "x" * 511, "x " * 600])
def test_any_prompt_gives_what_the_official_code_gives(clip: Any, text: str) -> None:
    found = encode(clip, text)
    assert found.shape[1] == MAX_TOKENS
    torch.testing.assert_close(found, encoded_officially(clip, text), rtol=1e-5, atol=1e-6)


def test_a_long_prompt_is_cut_before_it_is_encoded(clip: Any, load: Callable[[], Any]) -> None:
    # Not all of LONG: each head of the encoder has a table of all pairs of tokens.
    text = LONG[:700]
    whole = encode(load(), text)
    assert whole.shape[1] > MAX_TOKENS
    difference = (encode(clip, text) - whole[:, :MAX_TOKENS]).norm() / whole[:, :MAX_TOKENS].norm()
    assert difference > 0.01


@pytest.mark.parametrize("text", UNTIDY)
def test_the_clean_up_sets_no_weights(text: str) -> None:
    shown = cleaned(text).replace("\\(", "(").replace("\\)", ")")
    assert shown == officially_cleaned(text)
    assert not re.search(r"(?<!\\)[()]", cleaned(text))


def test_weights_are_kept_on_what_is_left(clip: Any) -> None:
    tokens = clip.tokenize(f"(a lamp:1.5) {LONG}")[NAME][0]
    assert len(tokens) == MAX_TOKENS
    assert tokens[0][1] == 1.5
    assert tokens[-1][:2] == (1, 1.0)


def test_a_changed_encoder_still_cuts(clip: Any) -> None:
    assert len(clip.clone().tokenize(LONG)[NAME][0]) == MAX_TOKENS


def test_it_says_what_has_no_effect(load: Callable[[], Any]) -> None:
    numbers = " ".join(f"{number:04}" for number in range(400))
    warnings: list[str] = []
    clip = TextEncoder(load, lambda: [numbers, "a lamp"], lambda: False, warnings.append)
    assert not warnings
    for text in ("a lamp", numbers):
        encode(clip, text)
    (warning,) = warnings
    ((size, start),) = re.findall(r'the last (\d+) of its 1999 characters, which start with "(\d+)', warning)
    assert numbers[-int(size) :].startswith(start)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    read = numbers[: -int(size)]
    assert len(tokenizer.encode(read)) < MAX_TOKENS
    assert len(tokenizer.encode(read + start)) >= MAX_TOKENS


def test_a_prompt_without_spaces_is_quoted_from_where_it_is_cut(load: Callable[[], Any]) -> None:
    warnings: list[str] = []
    clip = TextEncoder(load, list, lambda: True, warnings.append)
    for text in ("海" * 100, "海" * 400):
        clip.tokenize(text)
    (warning,) = warnings
    (size,) = re.findall(r"the last (\d+) of its 400 characters", warning)
    # The tokens of a letter that this tokenizer does not know are its three bytes.
    assert int(size) == pytest.approx(400 - MAX_TOKENS / 3, abs=2)
