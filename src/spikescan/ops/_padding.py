"""Which steps are valid, and zeros beyond them."""

import torch
from torch import Tensor

from spikescan.ops._checks import check_lengths

__all__ = ["valid_steps", "zero_padding"]


def valid_steps(x: Tensor, lengths: Tensor) -> Tensor:
    """Bool ``[T, B]``: whether step t of sample b of x ``[T, B, *]`` lies within ``lengths[b]``.

    Raises:
        InputError: `lengths` is not an int64 ``[B]`` within 0 and T.
    """
    time_steps, batch = x.shape[:2]
    check_lengths("padding", lengths, time_steps, batch, x)
    return torch.arange(time_steps, device=x.device).unsqueeze(1) < lengths


def zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Zeros beyond `lengths` in x ``[T, B, *]``, whatever was there, NaN included; no gradient comes back to it."""
    if lengths is None:
        return x
    valid = valid_steps(x, lengths).view(*x.shape[:2], *[1] * (x.dim() - 2))
    return torch.where(valid, x, torch.zeros_like(x))
