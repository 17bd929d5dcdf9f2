"""Which modules of a model are spiking neurons, and what can be asked of them."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from spikescan.firing import Binary, Integer
from spikescan.neurons.base import State, Temporal

__all__ = ["Spiking", "Traceable", "spiking_neurons", "thresholds"]


@runtime_checkable
class Spiking(Protocol):
    """A neuron: what it gives out are the spikes of `firing`."""

    firing: Any


@runtime_checkable
class Traceable(Protocol):
    """A neuron that can show what goes on inside: ``{"membrane": [T, B, C, *], "decay": ...}``."""

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        """What the neuron holds at every step of ``x`` (``[T, B, C, *]``), starting from `state`."""


def spiking_neurons(model: nn.Module) -> dict[str, Temporal]:
    """The spiking neurons of a model by their qualified module name; a bare neuron is named after its class."""
    return {
        name or type(module).__name__: module
        for name, module in model.named_modules()
        if isinstance(module, Temporal) and isinstance(module, Spiking)
    }


def thresholds(neuron: Temporal) -> list[float]:
    """The membranes at which the number of spikes changes; empty where they are not known."""
    match getattr(neuron, "firing", None):
        case Integer(levels=levels):
            return [level + 0.5 for level in range(levels)]
        case Binary(threshold=threshold):
            return [threshold]
    return []
