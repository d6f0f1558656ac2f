"""Whether the ComfyUI that runs the pack still has what the pack relies on."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import folder_paths

from . import contracts

_COMFYUI = Path(folder_paths.__file__).parent
_TALKING_VIDEO = ("wan_model", "wav2vec2", "sampling", "loading")


def log_misfit() -> None:
    """Says in the log, in one line, what does not work in this ComfyUI; nothing if all does."""
    if broken := _broken():
        logging.error(contracts.describe(_COMFYUI, broken.values()))


def log_changed_decoder(change: str) -> None:
    """Says in the log that a chunk is decoded in one go, because the VAE does not decode as it did."""
    logging.warning(contracts.describe(_COMFYUI, [f"Each chunk is decoded in one go, because {change}."]))


def require_talking_video() -> None:
    """Checks that a talking video can be made here, before its models are read.

    Raises:
        RuntimeError: it cannot, with the line that the log has.
    """
    broken = _broken()
    if lacking := [broken[module] for module in _TALKING_VIDEO if module in broken]:
        raise RuntimeError(contracts.describe(_COMFYUI, lacking))


def can_stream_decode() -> bool:
    """Whether the VAE can be decoded latent by latent, as far as its sources show."""
    return "wan_vae" not in _broken()


@cache
def _broken() -> dict[str, str]:
    try:
        return {contract.module: sentence for contract, sentence in contracts.broken(_COMFYUI)}
    except Exception:
        # A check must not stop what it checks.
        logging.exception("Story Studio could not look through the sources of ComfyUI in %s.", _COMFYUI)
        return {}
