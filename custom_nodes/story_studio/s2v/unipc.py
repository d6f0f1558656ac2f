"""The UniPC variant of the official Wan2.2 S2V: second order, B(h) = exp(-h) - 1, one model call a step.

Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models" (2023), in
data prediction and for flow matching: alpha = 1 - sigma, lambda = log(alpha / sigma). ComfyUI's uni_pc uses
lambda = -log(sigma), goes up to third order and stops above zero, so it takes another trajectory.
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
    """A point of the trajectory: the noise level, the noisy sample, and the model's denoised prediction."""

    sigma: float
    sample: torch.Tensor
    denoised: torch.Tensor

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
    """Integrates from the noise at sigmas[0] to the sample at sigmas[-1], which is 0.

    Args:
        model: predicts the denoised sample from a noisy one [B, ...] and its sigma [B].
        x: sigmas[0] * noise.
        sigmas: float [steps + 1], decreasing, below 1.
    """
    levels = sigmas.double().tolist()
    # The official sampler starts from unscaled noise, although its first level is slightly below 1.
    x = x / levels[0]
    previous: _Point | None = None
    current: _Point | None = None
    for step, (sigma, target) in enumerate(zip(levels, levels[1:], strict=False)):
        denoised = model(x, x.new_full([len(x)], sigma), **(extra_args or {}))
        if current is not None:
            x = _step(current, previous, sigma, corrector=denoised)
        previous, current = current, _Point(sigma, x, denoised)
        if callback is not None:
            callback({"x": x, "i": step, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        # The last step is first order.
        x = _step(current, previous if target > 0 else None, target)
    return x


def _step(
    current: _Point, previous: _Point | None, sigma: float, corrector: torch.Tensor | None = None
) -> torch.Tensor:
    """The sample at noise level `sigma`: UniP's prediction, or UniC's correction of it.

    Second order with `previous`, else first order. `corrector` is the denoised prediction at `sigma`.
    """
    if sigma == 0:
        return current.denoised
    h = log((1 - sigma) / sigma) - current.lambda_
    b = expm1(-h)
    slopes, weights = [], [0.5]
    if previous is not None:
        ratio = (previous.lambda_ - current.lambda_) / h
        slopes.append((previous.denoised - current.denoised) / ratio)
        if corrector is not None:
            # The solution of [[1, 1], [ratio, 1]] @ weights = [phi_2, 2 * phi_3] / b.
            phi_2 = b / -h - 1
            phi_3 = phi_2 / -h - 0.5
            older = (phi_2 - 2 * phi_3) / b / (1 - ratio)
            weights = [older, phi_2 / b - older]
    if corrector is not None:
        slopes.append(corrector - current.denoised)
    change = sum((weight * slope for weight, slope in zip(weights, slopes, strict=False)), current.denoised)
    return sigma / current.sigma * current.sample - (1 - sigma) * b * change
