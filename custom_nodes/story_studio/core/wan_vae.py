"""Streamed decoding with the Wan 2.1 VAE, one or two latents at a time; ComfyUI has no public API for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import comfy.model_management
import torch


class DecoderChanged(Exception):
    """The decoder of this ComfyUI cannot be called latent by latent in any known way."""


def require_video_vae(vae: Any) -> None:
    """Checks that a VAE is that of Wan 2.1.

    Raises:
        ValueError: it is not; the message says what to load.
    """
    # Imported here so that the other nodes work in a ComfyUI without it.
    from comfy.ldm.wan.vae import WanVAE

    # The VAE of Wan2.2 5B has another class and 48 channels.
    if not isinstance(getattr(vae, "first_stage_model", None), WanVAE) or vae.latent_channels != 16:
        raise ValueError(
            "This VAE cannot decode Wan2.2 S2V: load wan_2.1_vae.safetensors with Load VAE, or link the VAE "
            "of Wan2.2 S2V Models (the VAE of Wan2.2 5B and those of image models do not work)."
        )


def encode(vae: Any, frames: torch.Tensor) -> torch.Tensor:
    """ComfyUI's own encode of frames, float [N, height, width, 3], with a faster memory layout."""

    def lay_out(_encoder: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        # Always a copy: ComfyUI's frames have that layout but for the stride of the batch of one, which
        # PyTorch's convolutions take for another layout.
        frames = args[0].clone(memory_format=torch.contiguous_format)
        return _channels_last(frames), *args[1:]

    hook = vae.first_stage_model.encoder.register_forward_pre_hook(lay_out)
    try:
        return vae.encode(frames)
    finally:
        hook.remove()


class StreamedDecoder:
    """Decodes a video of any length in the memory of one or two latents, as if in a single call.

    The decoder is causal: it takes some latents, and a list in which its convolutions store what the next
    call needs. Until ComfyUI 0.17 it could be called with one latent at a time. Since 0.18 a convolution
    stores only latents of the last call but looks two back, so the first call takes one latent and the others
    two; a call with a single latent ends the video. Such decoders return a list of tensors.

    Latents that are only context serve to fill that list. The deeper a layer, the fewer of the last latents
    affect what it stores, so for earlier ones the decoder is not run to its end.
    """

    def __init__(self, vae: Any) -> None:
        """`vae` is ComfyUI's, for Wan 2.1."""
        self._vae = vae
        self._at_a_time = 1
        self.reset()

    def reset(self) -> None:
        """Discards the state; the next latent is the first one of a video."""
        # One entry for each causal convolution is enough, and there are fewer of them than modules.
        self._state: list[Any] = [None for _ in self._vae.first_stage_model.decoder.modules()]
        self._is_first = True

    def offload(self) -> None:
        """Moves the state off the device until the next call of `decode`."""
        self._move(self._vae.patcher.offload_device)

    def decode(self, context: torch.Tensor, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """Continues with `context`, whose frames are discarded, and then with `latents`.

        Args:
            context: float [1, 16, n, h, w]; n is odd at the start of a video, else 0.
            latents: float [1, 16, n, h, w]; n is even except at the end of a video.

        Yields:
            float [4 or 8, 8 * h, 8 * w, 3], 0 to 1, on the VAE's output device, for one or two latents.

        Raises:
            DecoderChanged: streaming does not work with this decoder.
        """
        vae = self._vae
        comfy.model_management.load_models_gpu(
            [vae.patcher],
            memory_required=vae.memory_used_decode(latents.shape, vae.vae_dtype),
            force_full_load=vae.disable_offload,
        )
        self._move(vae.device)
        for _ in self._calls(context, is_context=True):
            pass
        for frames in self._calls(latents):
            yield vae.process_output(frames.to(vae.output_device).float())[0].movedim(0, -1)

    def _calls(self, latents: torch.Tensor, is_context: bool = False) -> Iterator[torch.Tensor]:
        """What each call of the decoder returns: [1, 3, frames, 8 * h, 8 * w], or less for context."""
        index = 0
        while index < latents.shape[2]:
            comfy.model_management.throw_exception_if_processing_interrupted()
            part = latents[:, :, index : index + (1 if self._is_first else self._at_a_time)]
            index += part.shape[2]
            # The first latent goes through all layers, because they treat it differently from all others.
            shortened = is_context and not self._is_first
            result = self._decode(part, latents.shape[2] - index if shortened else None)
            expected = 1 if self._is_first else 4 * part.shape[2]
            if result.shape[2] != expected and not shortened:
                raise DecoderChanged(
                    f"the VAE's decoder returned {result.shape[2]} frames for {part.shape[2]} latents"
                )
            self._is_first = False
            yield result

    def _decode(self, latents: torch.Tensor, later_context: int | None) -> torch.Tensor:
        """Calls the decoder; `later_context` is None for latents whose frames are wanted."""
        network, vae = self._vae.first_stage_model, self._vae
        try:
            mixed = network.conv2(latents.to(vae.device, vae.vae_dtype))
            depth = len(network.decoder.upsamples) + 1
            if later_context is not None:
                depth = sum(later_context < needed for needed in context_of_layers(network.decoder))
            decoder = _up_to(network.decoder, depth)
            result = decoder(mixed, feat_cache=self._state, feat_idx=[0])
            if isinstance(result, list):
                self._at_a_time = 2
                result = torch.cat(result, dim=2)
            result.shape[2]
        except (AttributeError, IndexError, TypeError) as error:
            raise DecoderChanged(f"the VAE's decoder cannot be called as before ({error})") from error
        return result

    def _move(self, device: torch.device) -> None:
        self._state = [
            entry.to(device) if isinstance(entry, torch.Tensor) else entry for entry in self._state
        ]


def _up_to(decoder: Any, depth: int) -> Any:
    """The first layers of the decoder, `depth` of its `upsamples` and `head`, in a faster memory layout.

    They are the decoder's own layers, and use the same entries of the list of what they store.
    """
    from comfy.ldm.wan.vae import Decoder3d

    # Another pack may have wrapped it, for instance in torch.compile.
    if not isinstance(decoder, Decoder3d):
        return decoder
    layers = {"middle": decoder.middle, "upsamples": decoder.upsamples[:depth]}
    part = copy.copy(decoder)
    part._modules = {**decoder._modules, **{name: _laid_out(layers[name]) for name in layers}}
    if depth <= len(decoder.upsamples):
        part._modules["head"] = torch.nn.Sequential()
    return part


def _laid_out(layers: Any) -> torch.nn.Sequential:
    return torch.nn.Sequential(*(step for layer in layers for step in (_ChannelsLast(), layer)))


class _ChannelsLast(torch.nn.Module):
    """Repeats `_channels_last` before each layer, because attention and upsampling do not keep the layout."""

    def forward(self, frames: torch.Tensor, *_state: Any) -> torch.Tensor:
        return _channels_last(frames)


def _channels_last(frames: torch.Tensor) -> torch.Tensor:
    """Places the channels of each pixel side by side in memory, where a CPU's convolutions are faster."""
    # What it does to time and memory on a GPU has not been measured.
    if frames.device.type != "cpu":
        return frames
    return frames.contiguous(memory_format=torch.channels_last_3d)


def context_of_layers(decoder: Any) -> list[int]:
    """How many of the last latents affect what a layer or a deeper one stores, for `upsamples` and `head`.

    A causal convolution depends on, and stores, one frame of its input less than its kernel is long.
    """
    layers = [*decoder.upsamples, decoder.head]
    doubles = [getattr(layer, "mode", None) == "upsample3d" for layer in layers]
    frames, frames_per_latent = 0, 2 ** sum(doubles)
    needed = []
    for layer, is_doubled in zip(reversed(layers), reversed(doubles), strict=True):
        if is_doubled:
            frames, frames_per_latent = -(-frames // 2), frames_per_latent // 2
        kernels = [conv.kernel_size[0] for conv in layer.modules() if isinstance(conv, torch.nn.Conv3d)]
        frames += sum(kernels) - len(kernels)
        needed.append(-(-frames // frames_per_latent))
    return needed[::-1]
