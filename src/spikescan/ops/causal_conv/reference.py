"""Causal convolution over time with one filter a channel, then firing."""

import torch
from torch import Tensor

from spikescan.ops.fire.reference import fire


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, window: Tensor, dilation: int, kind: int, numbers: list[float]
) -> Tensor:
    """fire(bias + sum_i weight_i x_{t - (k-1-i) dilation}), ``[T, B, C, S]``.

    x ``[T, B, C, S]``, weight ``[C, k]`` (newest tap last), bias ``[C]``, window ``[(k - 1) dilation, B, C, S]``.
    """
    steps, k = x.shape[0], weight.shape[1]
    padded = torch.cat([window, x.to(weight.dtype)])
    taps = weight.t().unsqueeze(-1)  # [k, C, 1]
    charge = torch.zeros_like(bias).unsqueeze(-1).expand(x.shape)
    for tap in range(k):
        charge = charge + taps[tap] * padded[tap * dilation : tap * dilation + steps]
    return fire(charge + bias.unsqueeze(-1), kind, numbers).to(x.dtype)
