"""What models have in common: norms and readouts by name, and one synaptic layer with its norm and neurons."""

from collections.abc import Callable

from torch import nn

from spikescan.errors import InputError
from spikescan.layers import LastReadout, LayerNorm, LeakyReadout, MaxReadout, RateReadout, Sequential
from spikescan.names import choose_named
from spikescan.neurons.base import Temporal

__all__ = ["NORMS", "READOUTS", "MakeNeuron", "build_norm", "build_readout", "check_sizes", "spiking"]

MakeNeuron = Callable[[int], Temporal]
"""Builds the neurons of one layer from their number of channels, such as ``spikescan.DSN``."""

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": LayerNorm,
    "none": nn.Identity,
    "rms": nn.RMSNorm,
}
"""What a recipe may name as `norm`: from a number of channels to a module."""

READOUTS: dict[str, Callable[[int], Temporal]] = {
    "last": lambda channels: LastReadout(),
    "leaky": LeakyReadout,
    "max": lambda channels: MaxReadout(),
    "rate": lambda channels: RateReadout(),
}
"""What a recipe may name as `readout`: from a number of channels to a temporal module."""


def build_norm(norm: str | Callable[[int], nn.Module], channels: int) -> nn.Module:
    """A norm for this number of channels, by a name of `NORMS` or a function."""
    return (choose_named("norm", NORMS, norm) if isinstance(norm, str) else norm)(channels)


def build_readout(readout: str | Callable[[int], Temporal], channels: int) -> Temporal:
    """A readout for this number of channels, by a name of `READOUTS` or a function."""
    return (choose_named("readout", READOUTS, readout) if isinstance(readout, str) else readout)(channels)


def spiking(name: str, synapses: nn.Module, norm: nn.Module, neuron: Temporal) -> Sequential:
    """A layer of weights, called `name`, its norm and its neurons; an identity for a norm is left out: it costs a call."""
    normed = {} if isinstance(norm, nn.Identity) else {"norm": norm}
    return Sequential({name: synapses, **normed, "neuron": neuron})


def check_sizes(model: str, **sizes: int) -> None:
    """Raise `InputError` unless each of `sizes`, arguments of `model`, is at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{model}: {name} = {size}, expected at least 1.")
