"""How far apart two ways to compute the same numbers may be.

A convolution adds up thousands of products, and in which order depends on the processor, on the number of
its threads and on the shape of the batch. Each order rounds differently, and the layers after it carry that
on. So what is computed along another route is the same up to a number of roundings, each half an `eps` of
the dtype relative to what is rounded. Only a computation that is repeated, with the same shapes, is the same
bit by bit.

How many roundings is measured, with the tiny video VAE and oneDNN's kernels against PyTorch's own, which
differ from each other as much as two processors do. Per picture or latent, the norm of the difference was at
most

    ============================  ================  ================
    relative to the norm          float32           bfloat16
    ============================  ================  ================
    decoded                       7.6e-7 (6 eps)    0.009 (1.2 eps)
    decoded, encoded              5.6e-6 (47 eps)   0.047 (6 eps)
    decoded, encoded, decoded     8.7e-6 (73 eps)   0.049 (6 eps)
    a decoder's memory wrong      0.48              0.48
    ============================  ================  ================

In bfloat16 there are fewer of them, because there the products are added up in 32 bits and rounded once. The
bounds are several times the largest of these, and a fraction of what a mistake makes.
`test_a_decoder_whose_memory_is_wrong_is_told_from_rounding` in test_continuity.py repeats both measurements.
"""

from __future__ import annotations

import torch

_ROUNDINGS = {torch.float32: 512, torch.bfloat16: 16}


def tolerance(dtype: torch.dtype) -> float:
    """The largest `difference` that rounding explains where a network computes in `dtype`."""
    return _ROUNDINGS[dtype] * torch.finfo(dtype).eps


def difference(found: torch.Tensor, expected: torch.Tensor, dim: int = 0) -> float:
    """The norm of the difference relative to the norm of what is expected, for the worst slice along `dim`.

    Slice by slice, because a single wrong picture disappears in the norm of a whole clip.
    """
    assert found.shape == expected.shape, (found.shape, expected.shape)
    slices = (tensor.detach().double().movedim(dim, 0).flatten(1) for tensor in (found - expected, expected))
    error, scale = (rows.norm(dim=1) for rows in slices)
    return float((error / scale.clamp_min(torch.finfo(torch.float32).tiny)).max())


def assert_same(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, dim: int = 0) -> None:
    """Both are the same but for rounding in `dtype`, slice by slice along `dim`."""
    off, allowed = difference(found, expected, dim), tolerance(dtype)
    # Not `off > allowed`, which a NaN would pass.
    assert off <= allowed, f"{off:.2g} apart, where rounding in {dtype} explains {allowed:.2g}"
