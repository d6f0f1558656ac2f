"""Wan 2.1's VAE, decoded a latent or two at a time, which ComfyUI has no public way for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.model_management
import torch


class DecoderChanged(Exception):
    """This ComfyUI's decoder does not work latent by latent as the known ones do."""


def require_video_vae(vae: Any) -> None:
    """Checks that a VAE is Wan 2.1's.

    Raises:
        ValueError: it is not; the message says what to load.
    """
    # Imported when used: in a ComfyUI without it the other nodes work.
    from comfy.ldm.wan.vae import WanVAE

    # Wan 2.2 5B has a class of its own, with 48 channels.
    if not isinstance(getattr(vae, "first_stage_model", None), WanVAE) or vae.latent_channels != 16:
        raise ValueError(
            "This VAE cannot decode Wan2.2 S2V: load wan_2.1_vae.safetensors with Load VAE, or take the VAE "
            "from Wan2.2 S2V Models (the VAE of Wan2.2 5B and those for images do not fit)."
        )


class StreamedDecoder:
    """Decodes a video of any length in the memory of one or two latents, as one whole decode would.

    The decoder is causal: it is called with some latents and a list in which its convolutions keep what the
    next call needs of them. Until 0.17 it could be called with one latent at a time. Since 0.18 a convolution
    keeps no more than the last call's latents, and looks two back: the first latent is given alone, then two
    at a time, and a call with a single one ends the video. Those decoders are known by the list of tensors
    that they return.
    """

    def __init__(self, vae: Any) -> None:
        """`vae` is ComfyUI's, for Wan 2.1."""
        self._vae = vae
        self._at_a_time = 1
        self.reset()

    def reset(self) -> None:
        """The next latent is the first one of a video."""
        # One entry for each causal convolution would do; there are fewer of them than modules.
        self._memory: list[Any] = [None for _ in self._vae.first_stage_model.decoder.modules()]
        self._is_first = True

    def offload(self) -> None:
        """Moves what the decoder remembers off its device, until the next latent."""
        self._move(self._vae.patcher.offload_device)

    def decode(self, silent: torch.Tensor, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """Continues with `silent`, of which no frames are wanted, and then with `latents`.

        Args:
            silent: float [1, 16, n, h, w]; n is odd at the start of a video, and else 0.
            latents: float [1, 16, n, h, w]; n is even, but at the end of the video.

        Yields:
            float [4 or 8, 8 * h, 8 * w, 3], 0 to 1, on the VAE's output device, for one or two of `latents`.

        Raises:
            DecoderChanged: nothing more can be decoded in this way.
        """
        vae = self._vae
        comfy.model_management.load_models_gpu(
            [vae.patcher],
            memory_required=vae.memory_used_decode(latents.shape, vae.vae_dtype),
            force_full_load=vae.disable_offload,
        )
        self._move(vae.device)
        for _ in self._passes(silent):
            pass
        for frames in self._passes(latents):
            yield vae.process_output(frames.to(vae.output_device).float())[0].movedim(0, -1)

    def _passes(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """What each pass through the decoder gives for the next latents, [1, 3, frames, 8 * h, 8 * w]."""
        index = 0
        while index < latents.shape[2]:
            comfy.model_management.throw_exception_if_processing_interrupted()
            part = latents[:, :, index : index + (1 if self._is_first else self._at_a_time)]
            expected = 1 if self._is_first else 4 * part.shape[2]
            frames = self._decode(part)
            if frames.shape[2] != expected:
                raise DecoderChanged(
                    f"the VAE's decoder made {frames.shape[2]} frames of {part.shape[2]} latents"
                )
            index += part.shape[2]
            self._is_first = False
            yield frames

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        network, vae = self._vae.first_stage_model, self._vae
        try:
            mixed = network.conv2(latents.to(vae.device, vae.vae_dtype))
            frames = network.decoder(mixed, feat_cache=self._memory, feat_idx=[0])
            if isinstance(frames, list):
                self._at_a_time = 2
                frames = torch.cat(frames, dim=2)
            frames.shape[2]
        except (AttributeError, IndexError, TypeError) as error:
            raise DecoderChanged(f"the VAE's decoder is called in another way ({error})") from error
        return frames

    def _move(self, device: torch.device) -> None:
        self._memory = [kept.to(device) if isinstance(kept, torch.Tensor) else kept for kept in self._memory]
