"""What the tests of the model and of its loop share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.sd
import numpy as np
import torch

Talk = Callable[..., Any]


Inputs = dict[str, torch.Tensor]


LATENTS = 20


CONTEXT = torch.randn(1, 512, 4096, generator=torch.Generator().manual_seed(1))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def use(model: Any) -> Any:
    """The network, in the state that ComfyUI puts it into for this MODEL."""
    comfy.model_management.load_models_gpu([model])
    return model.model.diffusion_model


def inputs(height: int = 8, width: int = 8, motion: bool = True) -> Inputs:
    """Random sound, reference, control and motion for latents of this size."""
    given = {
        "audio_embed": random(1, 25, 32, 4 * LATENTS, seed=2),
        "reference_latent": random(1, 16, 1, height, width, seed=3),
        "control_video": torch.zeros(1, 16, LATENTS, height, width),
    }
    return {**given, "reference_motion": random(1, 16, 19, height, width, seed=4)} if motion else given


def forward(
    model: Any, timestep: float = 700.4, given: dict[str, torch.Tensor] | None = None
) -> torch.Tensor:
    """One run of the network, wrapped as in sampling, at the timestep that the MODEL makes of this one."""
    network = use(model)
    timestep = float(model.model.model_sampling.timestep(torch.tensor(timestep / 1000)))
    given = inputs() if given is None else given
    x = random(1, 16, LATENTS, *given["reference_latent"].shape[3:], seed=5)
    options = {"wrappers": model.wrappers}
    return network(x, torch.tensor([timestep]), CONTEXT, transformer_options=options, **given)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


class Calls:
    """What a module of the network is called with."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.args: list[tuple[Any, ...]] = []
        self.kwargs: list[dict[str, Any]] = []
        self._hook = module.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args.append(args)
        self.kwargs.append(kwargs)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def official_sigmas(steps: int, shift: float) -> np.ndarray:
    """The schedule goes from 1 - 1/1000 down to 0, where it ends, and is then shifted."""
    base = np.linspace(1 - 1 / 1000, 0, steps + 1)[:-1]
    return np.append(shift * base / (1 + (shift - 1) * base), 0)


def time_embedding(timesteps: list[int]) -> torch.Tensor:
    """Cosines, then sines, of 128 frequencies from 1 down to 1 / 10000 (excluded), as in any transformer."""
    frequencies = 10000.0 ** (-np.arange(128) / 128)
    angles = np.outer(timesteps, frequencies)
    return torch.from_numpy(np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).float()
