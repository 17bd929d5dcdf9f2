"""Spiking neurons that train in parallel over time and run step by step; one file a family."""

from spikescan.neurons.base import Cost, Neuron, State, Temporal, detach, map_state, spiking_neurons
from spikescan.neurons.dsn import DSN, DSNState
from spikescan.neurons.dsn_variants import DenseDSN, InterChannelDSN, LowRankDSN, StaticDSN, StaticDSNState
from spikescan.neurons.lif import IF, LIF, LIFState, ParametricLIF
from spikescan.neurons.psn import PSN, MaskedPSN, MaskedPSNState, PSNState, SlidingPSN, SlidingPSNState
from spikescan.neurons.registry import create_neuron, list_neurons

__all__ = [
    "DSN",
    "IF",
    "LIF",
    "PSN",
    "Cost",
    "DSNState",
    "DenseDSN",
    "InterChannelDSN",
    "LIFState",
    "LowRankDSN",
    "MaskedPSN",
    "MaskedPSNState",
    "Neuron",
    "PSNState",
    "ParametricLIF",
    "SlidingPSN",
    "SlidingPSNState",
    "State",
    "StaticDSN",
    "StaticDSNState",
    "Temporal",
    "create_neuron",
    "detach",
    "list_neurons",
    "map_state",
    "spiking_neurons",
]
