"""A CLIP that encodes the prompts of a whole graph at once, and can then free its weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import comfy.sd

from . import memory
from .wan_tokenizer import MAX_TOKENS, WanTokenizer, is_wan

_QUOTED = 50
"""Characters that a warning quotes of a text."""


class TextEncoder(comfy.sd.CLIP):
    """ComfyUI's CLIP, with the conditioning of some texts at hand. That of Wan reads texts as officially.

    At the first text it encodes all texts that are expected, so on a small GPU the encoder is not swapped
    with the diffusion model for each scene. Its weights can be freed after that; what still needs them reads
    them from the file again.
    """

    def __init__(
        self,
        load: Callable[[], comfy.sd.CLIP],
        expected: Callable[[], list[str]],
        keeps_weights: Callable[[], bool],
        warn: Callable[[str], None] = logging.warning,
    ) -> None:
        """Reads the file, and if the weights are not to be kept, encodes what is expected and frees them.

        Args:
            load: reads the file; called again when freed weights are needed.
            expected: the texts to encode together, whenever one of them is needed.
            keeps_weights: whether the weights stay after that.
            warn: called with what the user should know about a text, when it is about to be encoded.
        """
        super().__init__(no_init=True)
        self._load, self._expected, self._keeps_weights = load, expected, keeps_weights
        self._warn = warn
        self._encoded: dict[str, list[Any]] = {}
        self._texts: list[str] = []
        self._handed_out: set[str] = set()
        self.__dict__.update(vars(load()))
        if is_wan(self):
            self.tokenizer = WanTokenizer(self.tokenizer)
        if not keeps_weights():
            self._encode_expected()

    @property
    def is_freed(self) -> bool:
        """Whether the weights have been freed."""
        return self.patcher is None

    def _encode_expected(self) -> None:
        texts = self._expected()
        if texts is not self._texts:
            # Those of another prompt.
            self._texts = texts
            self._handed_out.clear()
        for text in texts:
            tokens = super().tokenize(text)
            if (key := _key(tokens)) and key not in self._encoded and key not in self._handed_out:
                self._require_weights()
                self._encoded[key] = super().encode_from_tokens_scheduled(tokens)
        if not self._keeps_weights():
            self.patcher = self.cond_stage_model = None
            memory.release_unused()

    def tokenize(self, text: str, *args: Any, **kwargs: Any) -> Any:
        """As ComfyUI's, with a warning if a part of the text has no effect."""
        if isinstance(self.tokenizer, WanTokenizer) and (end := self.tokenizer.ignored_end(text)):
            start = shorten(end, _QUOTED)
            self._warn(
                f"The model reads only the first {MAX_TOKENS} tokens of a prompt: the last {len(end)} of its "
                f'{len(text)} characters, which start with "{start}", have no effect. Shorten the prompt.'
            )
        return super().tokenize(text, *args, **kwargs)

    def encode_from_tokens_scheduled(self, tokens: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """As ComfyUI's; the conditioning of an expected text is handed out once, since ComfyUI caches it."""
        # A user's changes to the encoder are on a clone, which is a plain CLIP; these two are not.
        as_loaded = self.layer_idx is None and not self.tokenizer_options
        if as_loaded and not args and not kwargs and (key := _key(tokens)):
            if key not in self._encoded:
                self._encode_expected()
            if key in self._encoded:
                self._handed_out.add(key)
                return self._encoded.pop(key)
        self._require_weights()
        return super().encode_from_tokens_scheduled(tokens, *args, **kwargs)

    def encode_from_tokens(self, *args: Any, **kwargs: Any) -> Any:
        self._require_weights()
        return super().encode_from_tokens(*args, **kwargs)

    def load_model(self, *args: Any) -> Any:
        self._require_weights()
        return super().load_model(*args)

    def clone(self, *args: Any, **kwargs: Any) -> comfy.sd.CLIP:
        """A plain CLIP, which keeps its weights."""
        self._require_weights()
        return super().clone(*args, **kwargs)

    def add_patches(self, *args: Any, **kwargs: Any) -> Any:
        self._require_weights()
        return super().add_patches(*args, **kwargs)

    def get_sd(self) -> Any:
        self._require_weights()
        return super().get_sd()

    def get_key_patches(self) -> Any:
        self._require_weights()
        return super().get_key_patches()

    def get_ram_usage(self) -> int:
        """The bytes that its weights take, by which ComfyUI's cache chooses what to drop."""
        usage = getattr(super(), "get_ram_usage", int)
        return 0 if self.is_freed else usage()

    def is_dynamic(self) -> bool:
        """Whether the weights take no memory, because ComfyUI reads them from the file when it computes."""
        return self.is_freed or bool(getattr(self.patcher, "is_dynamic", bool)())

    def _require_weights(self) -> None:
        if self.is_freed:
            # All else that the encoder is set to stays.
            fresh = self._load()
            self.patcher, self.cond_stage_model = fresh.patcher, fresh.cond_stage_model


_in_use: WeakValueDictionary[tuple[str, float, str], TextEncoder] = WeakValueDictionary()
_loading = Lock()


def shared(path: str, kind: str, make: Callable[[], TextEncoder]) -> TextEncoder:
    """The text encoder of a file: one that is in use, or else a new one.

    The models of talking and of other clips may have one text encoder, of many GB, which is read once.

    Args:
        path: the file.
        kind: what else tells text encoders of the file apart.
        make: reads it.
    """
    key = (path, Path(path).stat().st_mtime, kind)
    with _loading:
        encoder = _in_use.get(key)
        if encoder is None:
            encoder = _in_use[key] = make()
        return encoder


def _key(tokens: Any) -> str | None:
    """Tells texts apart by their tokens; None if there are embeddings among them."""
    for batches in tokens.values():
        for batch in batches:
            if not all(isinstance(token[0], int) for token in batch):
                return None
    return repr(tokens)
