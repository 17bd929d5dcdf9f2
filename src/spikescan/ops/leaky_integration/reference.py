"""Leaky integration with a reset, step by step."""

from enum import IntEnum

import torch
from torch import Tensor

from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops.fire.reference import fire


class Reset(IntEnum):
    """What a spike does to the membrane: nothing, minus spike * unit, or back to zero."""

    NONE = 0
    SOFT = 1
    HARD = 2


def forward(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes ``[T, B, C, S]``, the membrane after the last reset ``[B, C, S]`` and, if `keep`, all charged membranes H.

    H_t = decay * V_{t-1} + gain * x_t, S_t = fire(H_t), V_t = reset(H_t, S_t); x ``[T, B, C, S]``, decay and gain ``[C]``,
    membrane V ``[B, C, S]``.
    """
    dtype = decay.dtype
    unit = FiringSpec(Kind(kind), *numbers).unit
    decay, gain = decay.unsqueeze(-1), gain.unsqueeze(-1)
    spikes, charges = [], []
    for t, inputs in enumerate(x.to(dtype).unbind(0)):
        charged = decay * membrane + gain * inputs
        fired = fire(charged, kind, numbers)
        resetting = fired.detach() if detach_reset else fired
        if reset == Reset.SOFT:
            after = charged - unit * resetting
        elif reset == Reset.HARD:
            # An integer spike resets as a whole: any number of levels goes back to zero.
            after = charged * (1.0 - resetting) if kind != Kind.INTEGER else charged * (resetting == 0)
        else:
            after = charged
        if lengths is not None:
            valid = (t < lengths).view(-1, 1, 1)
            after = torch.where(valid, after, membrane)
            fired = torch.where(valid, fired, torch.zeros_like(fired))
        membrane = after
        spikes.append(fired)
        charges.append(charged)
    empty = x.new_empty(0, dtype=dtype)
    if not spikes:
        return x.clone(), membrane.clone(), torch.empty_like(x, dtype=dtype) if keep else empty
    return torch.stack(spikes).to(x.dtype), membrane.clone(), torch.stack(charges) if keep else empty
