"""How a membrane becomes spikes, and the surrogate derivative that training uses in place of a step's."""

from spikescan.firing.spikes import (
    Binary,
    Firing,
    Integer,
    Membrane,
    firing_from,
    firing_to,
    from_thermometer,
    to_thermometer,
)
from spikescan.firing.surrogates import ATan, FastSigmoid, MultiGaussian, Rectangular, Sigmoid, Surrogate, Triangular

__all__ = [
    "ATan",
    "Binary",
    "FastSigmoid",
    "Firing",
    "Integer",
    "Membrane",
    "MultiGaussian",
    "Rectangular",
    "Sigmoid",
    "Surrogate",
    "Triangular",
    "firing_from",
    "firing_to",
    "from_thermometer",
    "to_thermometer",
]
