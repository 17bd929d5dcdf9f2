"""h_t = decay_t * h_{t-1} + drive_t, written as it reads."""

import torch
from torch import Tensor


def forward(decay: Tensor, drive: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """States ``[T, N]`` and the last of them, from decay ``[T or 1, N]``, drive ``[T, N]`` and initial ``[N]``."""
    state = initial
    states = []
    # unbind, not indexing: each index would have a backward as large as the whole tensor.
    for decay_t, drive_t in zip(decay.expand_as(drive).unbind(0), drive.unbind(0), strict=True):
        state = decay_t * state + drive_t
        states.append(state)
    stacked = torch.stack(states) if states else drive.clone()
    return stacked, state.clone()
