"""The Dynamic Decay Spiking Neuron, step by step as its equations read (arXiv 2602.01133, Eqs. 9 to 12)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spikescan.ops._padding import zero_padding
from spikescan.ops.fire.reference import fire


def log_decay(gate: Tensor, exponent: float) -> Tensor:
    """log(sigmoid(gate)^exponent), safe for any gate."""
    return F.logsigmoid(gate) * exponent


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes ``[T, B, C, S]``, the last membrane ``[B, C, S]`` and, if `keep`, all membranes.

    x ``[T, B, C, S]``, weight ``[C, k]`` (newest tap last), bias ``[C]``, membrane ``[B, C, S]``, window
    ``[k - 1, B, C, S]`` (newest last), lengths ``[B]``.
    """
    dtype = weight.dtype
    k = weight.shape[1]
    x = zero_padding(x, lengths)
    padded = torch.cat([window, x.to(dtype)]).unbind(0)
    taps = weight.t().unsqueeze(-1)  # [k, C, 1]
    spikes, membranes = [], []
    for t in range(x.shape[0]):
        inputs = padded[t + k - 1]
        gate = bias.unsqueeze(-1)
        for tap in range(k):
            gate = gate + taps[tap] * padded[t + tap]
        log_alpha = log_decay(gate, exponent)
        charged = log_alpha.exp() * membrane - torch.expm1(log_alpha) * inputs
        fired = fire(charged, kind, numbers)
        if lengths is not None:
            valid = (t < lengths).view(-1, 1, 1)
            charged = torch.where(valid, charged, membrane)
            fired = torch.where(valid, fired, torch.zeros_like(fired))
        membrane = charged
        spikes.append(fired)
        membranes.append(membrane)
    empty = x.new_empty(0, dtype=dtype)
    if not spikes:
        return x.clone(), membrane.clone(), torch.empty_like(x, dtype=dtype) if keep else empty
    return torch.stack(spikes).to(x.dtype), membrane.clone(), torch.stack(membranes) if keep else empty
