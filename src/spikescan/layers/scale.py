"""A learnt positive factor a channel."""

import torch
from torch import Tensor, nn

from spikescan.neurons.base import KeepsMarks, no_weight_decay

__all__ = ["Scale"]


class Scale(KeepsMarks):
    """y = exp(`log_scale`) x with one learnt scale for each of the last axis's channels, 1 at the start.

    Before a neuron it is a threshold of its own for each channel: x / exp(v) meets 1 where x meets exp(v), with
    v = -`log_scale` (SpikingSSM). After one it is the amplitude of its spikes, which the next layer's weights can hold (PRF).

    Args:
        channels: of the last axis; 1 is one scale for all.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.log_scale = no_weight_decay(nn.Parameter(torch.zeros(channels)))

    def forward(self, x: Tensor) -> Tensor:
        """``[*, C]`` to ``[*, C]``."""
        return self.log_scale.exp().to(x.dtype) * x

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"{len(self.log_scale)}"
