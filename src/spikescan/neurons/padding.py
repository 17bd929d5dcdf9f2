"""What padding means: which steps are valid, zeros beyond them, the value at the last of them."""

import torch
from torch import Tensor

from spikescan.ops._padding import valid_steps, zero_padding

__all__ = ["at_last_valid", "valid_steps", "zero_padding"]


def at_last_valid(values: Tensor, initial: Tensor, lengths: Tensor | None) -> Tensor:
    """The value ``[B, *]`` at each sample's last valid step of ``values [T, B, *]``; `initial` where there is none."""
    time_steps, batch = values.shape[:2]
    if time_steps == 0:
        return initial
    if lengths is None:
        return values[-1].clone()  # a state of its own, not a window on the whole sequence
    last = values[(lengths - 1).clamp(min=0), torch.arange(batch, device=values.device)]
    return torch.where((lengths > 0).view(batch, *[1] * (values.dim() - 2)), last, initial)
