"""The sampler against UniPC as written in its paper, and against an exact solution.

For Gaussian data of mean m and deviation d, both the denoised prediction at any sample and the end of the
flow, m + d * noise, are known in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
import pytest
import torch

from story_studio.s2v import sampling, unipc
from tests.s2v.tools import official_sigmas, random, relative

Predict = Callable[[torch.Tensor, float], torch.Tensor]
NOISE = random(1, 16, 4, 8, 8, seed=12).double()
MEAN, DEVIATION = 0.7, 0.4


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The expected data in x = (1 - sigma) * data + sigma * noise."""
    alpha = 1 - sigma
    gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
    return MEAN + gain * (x - alpha * MEAN)


def nonlinear(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """A nonlinear field without any meaning, in which errors do not cancel."""
    return x - sigma * (1.1 * torch.tanh(1.3 * x + sigma) + (1 - sigma) * torch.sin(3 * x))


def ours(predict: Predict, sigmas: torch.Tensor) -> torch.Tensor:
    return unipc._sample(lambda x, sigma: predict(x, float(sigma[0])), sigmas[0] * NOISE, sigmas)


def paper(predict: Predict, sigmas: np.ndarray) -> torch.Tensor:
    """UniPC-2 with B(h) = exp(-h) - 1 in data prediction: algorithms 5 and 6, solving the linear systems."""
    with np.errstate(divide="ignore"):
        lambdas = np.log((1 - sigmas) / sigmas)
    x, predictions, samples = NOISE, [], []
    steps = len(sigmas) - 1

    def advance(start: int, end: int, order: int, corrector: torch.Tensor | None) -> torch.Tensor:
        h = lambdas[end] - lambdas[start]
        first_order = (
            sigmas[end] / sigmas[start] * samples[start]
            - (1 - sigmas[end]) * np.expm1(-h) * predictions[start]
        )
        ratios = [(lambdas[start - k] - lambdas[start]) / h for k in range(1, order)]
        differences = [
            (predictions[start - k] - predictions[start]) / ratio
            for k, ratio in zip(range(1, order), ratios, strict=True)
        ]
        if corrector is not None:
            ratios, differences = [*ratios, 1.0], [*differences, corrector - predictions[start]]
        if not ratios:
            return first_order
        if len(ratios) == 1:
            weights = np.array([0.5])
        else:
            # h * phi_{k+1} is h * phi_k / -h - 1 / k!, from h * phi_1 = exp(-h) - 1.
            phi, right = np.expm1(-h), []
            for k in range(1, len(ratios) + 1):
                phi = phi / -h - 1 / factorial(k)
                right.append(phi * factorial(k) / np.expm1(-h))
            weights = np.linalg.solve(
                np.array([np.power(ratios, k) for k in range(len(ratios))]), np.array(right)
            )
        total = sum(weight * difference for weight, difference in zip(weights, differences, strict=True))
        return first_order - (1 - sigmas[end]) * np.expm1(-h) * total

    order = 0
    for step in range(steps):
        prediction = predict(x, sigmas[step])
        if step:
            x = advance(step - 1, step, order, prediction)
        samples.append(x)
        predictions.append(prediction)
        order = min(2, step + 1, steps - step)
        if sigmas[step + 1] == 0:
            return prediction
        x = advance(step, step + 1, order, None)
    raise AssertionError("the schedule ends at 0")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20, 40])
@pytest.mark.parametrize("shift", [3.0, 8.0])
def test_the_sampler_is_that_of_the_paper(steps: int, shift: float) -> None:
    sampled = ours(nonlinear, torch.from_numpy(official_sigmas(steps, shift)))
    assert relative(sampled, paper(nonlinear, official_sigmas(steps, shift))) < 1e-12


def test_doubling_the_steps_divides_the_error_by_eight() -> None:
    """Second order plus one from the corrector, with lambda evenly spaced from -3 to 3."""

    def exact(sigma: float, noise: torch.Tensor) -> torch.Tensor:
        return (1 - sigma) * MEAN + noise * float(np.hypot((1 - sigma) * DEVIATION, sigma))

    errors = []
    for steps in (16, 32, 64, 128):
        sigmas = 1 / (1 + torch.exp(torch.linspace(-3, 3, steps + 1, dtype=torch.float64)))
        first, last = float(sigmas[0]), float(sigmas[-1])
        noise = (NOISE - exact(first, torch.zeros(1))) / (
            exact(first, torch.ones(1)) - exact(first, torch.zeros(1))
        )
        errors.append(relative(ours(gaussian, sigmas), exact(last, noise)))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert errors[-1] < 1e-4 and (orders > 2.9).all(), (errors, orders)


def test_one_step_ends_at_the_prediction() -> None:
    sigmas = sampling.sigmas(1, 3.0)
    assert torch.equal(ours(nonlinear, sigmas), nonlinear(NOISE * sigmas[0] / sigmas[0], float(sigmas[0])))
