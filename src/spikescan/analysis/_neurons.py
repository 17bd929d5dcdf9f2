"""What can be asked of a spiking neuron."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from spikescan.firing import Binary, Integer
from spikescan.neurons import PSN, MaskedPSN, SlidingPSN
from spikescan.neurons.base import State, Temporal

__all__ = ["Traceable", "thresholds"]


@runtime_checkable
class Traceable(Protocol):
    """A neuron that can show what goes on inside: ``{"membrane": [T, B, C, *], "decay": ...}``."""

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        """What the neuron holds at every step of ``x`` (``[T, B, C, *]``), starting from `state`."""


def thresholds(neuron: Temporal, steps: int) -> Tensor:
    """The membranes at which the number of spikes changes, ascending, ``[T, levels]``; no levels where none are known."""
    firing = getattr(neuron, "firing", None)
    match firing:
        case Integer(levels=count):
            levels = torch.arange(count) + 0.5
        case Binary(threshold=threshold):
            levels = torch.tensor([threshold])
        case _:
            levels = torch.empty(0)
    if isinstance(neuron, PSN | MaskedPSN | SlidingPSN):
        # Their threshold is learnt, as a bias for each step or for all; that of `firing` is only where it starts.
        start = firing.threshold if isinstance(firing, Binary) else 0.0
        bias = neuron.bias.detach().cpu().flatten()[:steps].expand(steps)
        return levels - start - bias.unsqueeze(1)
    return levels.expand(steps, -1)
