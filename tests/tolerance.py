"""How far apart the results of two ways to compute the same numbers may be.

A convolution sums thousands of products in an order that depends on the processor, the number of threads and
the shape of the batch. Each order rounds differently, and later layers propagate the difference. So results
computed in different ways agree only up to a number of rounding errors, each of half an `eps` of the dtype
relative to the rounded value. Only a repeated computation with the same shapes is identical to the bit.

The number of rounding errors was measured with the tiny video VAE, with oneDNN's kernels against PyTorch's
own, which differ as much as two processors do. Per frame or latent, the norm of the difference was at most

    ============================  ================  ================
    relative to the norm          float32           bfloat16
    ============================  ================  ================
    decoded                       7.6e-7 (6 eps)    0.009 (1.2 eps)
    decoded, encoded              5.6e-6 (47 eps)   0.047 (6 eps)
    decoded, encoded, decoded     8.7e-6 (73 eps)   0.049 (6 eps)
    wrong state of a decoder      0.48              0.48
    ============================  ================  ================

bfloat16 has fewer of them, because the products are summed in 32 bits and rounded once. The bounds are
several times the largest of these, and a fraction of the effect of a bug.
`test_a_decoder_with_wrong_state_is_told_apart_from_rounding` in test_continuity.py repeats both measurements.
"""

from __future__ import annotations

import torch

_ROUNDINGS = {torch.float32: 512, torch.bfloat16: 16}


def tolerance(dtype: torch.dtype) -> float:
    """The largest `difference` that rounding can explain for a network that computes in `dtype`."""
    return _ROUNDINGS[dtype] * torch.finfo(dtype).eps


def difference(actual: torch.Tensor, expected: torch.Tensor, dim: int = 0) -> float:
    """The norm of the difference relative to the norm of `expected`, for the worst slice along `dim`.

    Slice by slice, because a single wrong frame disappears in the norm of a whole clip.
    """
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    slices = (tensor.detach().double().movedim(dim, 0).flatten(1) for tensor in (actual - expected, expected))
    error, scale = (rows.norm(dim=1) for rows in slices)
    return float((error / scale.clamp_min(torch.finfo(torch.float32).tiny)).max())


def assert_same(actual: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, dim: int = 0) -> None:
    """Asserts equality up to rounding in `dtype`, slice by slice along `dim`."""
    off, allowed = difference(actual, expected, dim), tolerance(dtype)
    # Not `off > allowed`, which a NaN would pass.
    assert off <= allowed, f"{off:.2g} apart, where rounding in {dtype} explains {allowed:.2g}"
