"""Spiking neurons that train in parallel over time and run step by step; one file a family."""

from spikescan.neurons.base import Cost, Neuron, State, Temporal, detach, map_state, spiking_neurons
from spikescan.neurons.dsn import DSN, DSNState
from spikescan.neurons.lif import IF, LIF, LIFState, ParametricLIF
from spikescan.neurons.mulfree import (
    MulFreePSN,
    MulFreePSNState,
    ShiftPSN,
    ShiftPSNState,
    sawtooth,
    set_dilations,
    to_shift,
)
from spikescan.neurons.psn import PSN, MaskedPSN, MaskedPSNState, PSNState, SlidingPSN, SlidingPSNState
from spikescan.neurons.registry import create_neuron, list_neurons

__all__ = [
    "DSN",
    "IF",
    "LIF",
    "PSN",
    "Cost",
    "DSNState",
    "LIFState",
    "MaskedPSN",
    "MaskedPSNState",
    "MulFreePSN",
    "MulFreePSNState",
    "Neuron",
    "PSNState",
    "ParametricLIF",
    "ShiftPSN",
    "ShiftPSNState",
    "SlidingPSN",
    "SlidingPSNState",
    "State",
    "Temporal",
    "create_neuron",
    "detach",
    "list_neurons",
    "map_state",
    "sawtooth",
    "set_dilations",
    "spiking_neurons",
    "to_shift",
]
