"""UniPC as the official Wan2.2 S2V samples: second order, bh2, one model call a step.

Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models" (2023),
for data prediction and a flow model: alpha = 1 - sigma, lambda = log(alpha / sigma). ComfyUI's sampler of
that name takes lambda for -log(sigma), goes up to third order and ends above zero: another trajectory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import expm1, log
from typing import Any

import torch

from ..core import sampling


@dataclass
class _Point:
    """Where the sampler has been: the noise level, the sample there, and the picture the model saw in it."""

    sigma: float
    sample: torch.Tensor
    picture: torch.Tensor

    @property
    def lambda_(self) -> float:
        return log((1 - self.sigma) / self.sigma)


def sampler() -> Any:
    """The sampler, as ComfyUI's SAMPLER."""
    return sampling.make_sampler(_sample)


def _sample(
    model: Callable[..., torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
) -> torch.Tensor:
    """From the noise at sigmas[0] to the sample at sigmas[-1], which is 0.

    Args:
        model: what the model takes for the picture in a sample [B, ...] at a sigma [B].
        x: sigmas[0] * noise.
        sigmas: float [steps + 1], falling, below 1.
    """
    levels = sigmas.double().tolist()
    # The official sampler starts from the noise itself, although its first level is a little below 1.
    x = x / levels[0]
    before: _Point | None = None
    here: _Point | None = None
    for step, (sigma, target) in enumerate(zip(levels, levels[1:], strict=False)):
        picture = model(x, x.new_full([len(x)], sigma), **(extra_args or {}))
        if here is not None:
            x = _move(here, before, sigma, arrived=picture)
        before, here = here, _Point(sigma, x, picture)
        if callback is not None:
            callback({"x": x, "i": step, "sigma": sigma, "sigma_hat": sigma, "denoised": picture})
        # The last step is of first order: to the picture itself.
        x = _move(here, before if target > 0 else None, target)
    return x


def _move(
    here: _Point, before: _Point | None, sigma: float, arrived: torch.Tensor | None = None
) -> torch.Tensor:
    """The sample at another noise level: predicted, or corrected by the picture seen where it `arrived`.

    First order without `before`, else second.
    """
    if sigma == 0:
        return here.picture
    h = log((1 - sigma) / sigma) - here.lambda_
    b = expm1(-h)
    slopes, weights = [], [0.5]
    if before is not None:
        ratio = (before.lambda_ - here.lambda_) / h
        slopes.append((before.picture - here.picture) / ratio)
        if arrived is not None:
            # What solves [[1, 1], [ratio, 1]] @ weights = [phi_2, 2 * phi_3] / b.
            phi_2 = b / -h - 1
            phi_3 = phi_2 / -h - 0.5
            older = (phi_2 - 2 * phi_3) / b / (1 - ratio)
            weights = [older, phi_2 / b - older]
    if arrived is not None:
        slopes.append(arrived - here.picture)
    change = sum((weight * slope for weight, slope in zip(weights, slopes, strict=False)), here.picture)
    return sigma / here.sigma * here.sample - (1 - sigma) * b * change
