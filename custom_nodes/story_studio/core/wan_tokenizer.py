"""The prompt of a Wan model as its official code reads it: cleaned up, and no longer than 512 tokens.

ComfyUI encodes a longer prompt whole. What the model then reads of it is the start, but encoded with the rest
in view, which gives another conditioning.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from typing import Any

import ftfy

NAME = "umt5xxl"
"""What ComfyUI calls the text encoder of Wan models, in tokens and elsewhere."""
MAX_TOKENS = 512
_WEIGHTS = str.maketrans("()", "\ue000\ue001")
_WEIGHTS_AGAIN = str.maketrans("\ue000\ue001", "()")
_LONG_WORD = 30
"""Letters without a space that are not taken for one word: some languages have none."""


class WanTokenizer:
    """ComfyUI's tokenizer of a Wan model; cleans up prompts and cuts them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """As ComfyUI's."""
        tokens = self._tokenizer.tokenize_with_weights(cleaned(text), return_word_ids, **kwargs)
        return tokens | {NAME: [_cut(batch) for batch in tokens[NAME]]}

    def ignored_end(self, text: str) -> str:
        """The part of a prompt that is cut off, from a whole word on; empty if nothing is."""
        text = cleaned(text)
        fits = range(len(text) + 1)
        end = bisect_right(fits, MAX_TOKENS, key=lambda size: self._count(text[:size])) - 1
        if end == len(text):
            return ""
        word = text.rfind(" ", 0, end + 1) + 1
        return text[word if end - word < _LONG_WORD else end :]

    def _count(self, text: str) -> int:
        return sum(map(len, self._tokenizer.tokenize_with_weights(text)[NAME]))


def is_wan(clip: Any) -> bool:
    """Whether a CLIP is the text encoder of a Wan model."""
    return getattr(clip.tokenizer, "clip_name", "") == NAME


def cleaned(text: str) -> str:
    """The text without broken characters, HTML entities and unneeded white space.

    Its parentheses still set weights, as everywhere in ComfyUI; those that come of the clean-up do not.
    """
    fixed = html.unescape(html.unescape(ftfy.fix_text(text.translate(_WEIGHTS))))
    escaped = re.sub("[()]", r"\\\g<0>", fixed)
    return re.sub(r"\s+", " ", escaped.translate(_WEIGHTS_AGAIN)).strip()


def _cut(batch: list[Any]) -> list[Any]:
    # The last token of a long batch is the end of the text; only shorter ones are padded.
    return batch if len(batch) <= MAX_TOKENS else [*batch[: MAX_TOKENS - 1], batch[-1]]
