"""What can be asked of a spiking neuron."""

import torch
from torch import Tensor

from spikescan.firing import Binary, Integer
from spikescan.neurons import MPEPSN, PSN, MaskedPSN, SlidingPSN
from spikescan.neurons.base import Neuron

__all__ = ["thresholds"]


def thresholds(neuron: Neuron, steps: int) -> Tensor:
    """The membranes at which the number of spikes changes, ascending, ``[T, levels]``; no levels where the membrane is sent."""
    match firing := neuron.firing:
        case Integer(levels=count):
            levels = torch.arange(count) + 0.5
        case Binary(threshold=threshold):
            levels = torch.tensor([threshold])
        case _:
            levels = torch.empty(0)
    # A learnt threshold: that of `firing` is only where it starts.
    start = firing.threshold if isinstance(firing, Binary) else 0.0
    if isinstance(neuron, MPEPSN):
        levels = levels - start + neuron.threshold.detach().cpu()
    if isinstance(neuron, PSN | MaskedPSN | SlidingPSN):
        # As a bias for each step or for all.
        bias = neuron.bias.detach().cpu().flatten()[:steps].expand(steps)
        return levels - start - bias.unsqueeze(1)
    return levels.expand(steps, -1)
