"""Helpers for the tests of the model and of the chunk loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.sd
import numpy as np
import torch

SampleClip = Callable[..., Any]
Inputs = dict[str, torch.Tensor]

LATENTS = 20
CONTEXT = torch.randn(1, 512, 4096, generator=torch.Generator().manual_seed(1))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def use(model: Any) -> Any:
    """The network, loaded and patched for this MODEL."""
    comfy.model_management.load_models_gpu([model])
    return model.model.diffusion_model


def inputs(height: int = 8, width: int = 8, motion: bool = True) -> Inputs:
    """Random audio features, reference and motion, and zeros as control, for latents of this size."""
    conditions = {
        "audio_embed": random(1, 25, 32, 4 * LATENTS, seed=2),
        "reference_latent": random(1, 16, 1, height, width, seed=3),
        "control_video": torch.zeros(1, 16, LATENTS, height, width),
    }
    if motion:
        conditions["reference_motion"] = random(1, 16, 19, height, width, seed=4)
    return conditions


def forward(model: Any, timestep: float = 700.4, conditions: Inputs | None = None) -> torch.Tensor:
    """One run of the network, wrapped as in sampling, after the MODEL has converted the timestep."""
    network = use(model)
    timestep = float(model.model.model_sampling.timestep(torch.tensor(timestep / 1000)))
    conditions = inputs() if conditions is None else conditions
    x = random(1, 16, LATENTS, *conditions["reference_latent"].shape[3:], seed=5)
    options = {"wrappers": model.wrappers}
    return network(x, torch.tensor([timestep]), CONTEXT, transformer_options=options, **conditions)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


class Calls:
    """Records the arguments that a module of the network is called with."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.args: list[tuple[Any, ...]] = []
        self.kwargs: list[dict[str, Any]] = []
        self._hook = module.register_forward_pre_hook(self._record, with_kwargs=True)

    def _record(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args.append(args)
        self.kwargs.append(kwargs)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def official_sigmas(steps: int, shift: float) -> np.ndarray:
    """From 1 - 1/1000 down to 0, exclusive, shifted, followed by 0."""
    base = np.linspace(1 - 1 / 1000, 0, steps + 1)[:-1]
    return np.append(shift * base / (1 + (shift - 1) * base), 0)


def time_embedding(timesteps: list[int]) -> torch.Tensor:
    """Sinusoidal embedding: cosines, then sines, of 128 frequencies from 1 to 1 / 10000, exclusive."""
    frequencies = 10000.0 ** (-np.arange(128) / 128)
    angles = np.outer(timesteps, frequencies)
    return torch.from_numpy(np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).float()
