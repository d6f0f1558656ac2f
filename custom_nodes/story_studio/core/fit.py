"""Compatibility of the running ComfyUI with the pack."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import folder_paths

from . import contracts

_COMFYUI = Path(folder_paths.__file__).parent
_TALKING_VIDEO = ("wan_model", "wav2vec2", "sampling", "loading")


def log_misfit() -> None:
    """Logs, in one line, what does not work in this ComfyUI; nothing if everything works."""
    if broken := _broken():
        logging.error(contracts.describe(_COMFYUI, broken.values()))


def log_changed_decoder(change: str) -> None:
    """Logs that chunks are decoded in one call, because the VAE's decoder has changed."""
    logging.warning(contracts.describe(_COMFYUI, [f"Each chunk is decoded in one call, because {change}."]))


def require_talking_video() -> None:
    """Checks, before any model is loaded, that this ComfyUI can render talking videos.

    Raises:
        RuntimeError: it cannot; the message is the line in the log.
    """
    broken = _broken()
    if sentences := [broken[module] for module in _TALKING_VIDEO if module in broken]:
        raise RuntimeError(contracts.describe(_COMFYUI, sentences))


def can_encode_audio() -> bool:
    """Whether an audio encoder can be loaded and run, judging from ComfyUI's source."""
    return not {"wav2vec2", "loading"} & _broken().keys()


def can_stream_decode() -> bool:
    """Whether the VAE can decode latent by latent, judging from its source."""
    return "wan_vae" not in _broken()


@cache
def _broken() -> dict[str, str]:
    try:
        return {contract.module: sentence for contract, sentence in contracts.broken(_COMFYUI)}
    except Exception:
        # The check must not break what it checks.
        logging.exception(
            "Story Studio could not check the sources of ComfyUI in %s: please report this.", _COMFYUI
        )
        return {}
