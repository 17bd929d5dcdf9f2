"""What padding means: which steps are valid, zeros beyond them, the value at the last of them."""

import torch
from torch import Tensor

from spikescan.ops._checks import check_lengths

__all__ = ["at_last_valid", "valid_steps", "zero_padding"]


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


def at_last_valid(values: Tensor, initial: Tensor, lengths: Tensor | None) -> Tensor:
    """The value ``[B, *]`` at each sample's last valid step of ``values [T, B, *]``; `initial` where there is none."""
    time_steps, batch = values.shape[:2]
    if time_steps == 0:
        return initial
    if lengths is None:
        return values[-1].clone()  # a state of its own, not a window on the whole sequence
    last = values[(lengths - 1).clamp(min=0), torch.arange(batch, device=values.device)]
    return torch.where((lengths > 0).view(batch, *[1] * (values.dim() - 2)), last, initial)
