"""Spiking neurons that train in parallel over time and run step by step; one file a family."""

from spikescan.neurons.base import Cost, Neuron, State, Temporal, detach, map_state, spiking_neurons
from spikescan.neurons.dsn import DSN, DSNState
from spikescan.neurons.lif import IF, ILIF, LIF, LIFState, ParametricLIF
from spikescan.neurons.lif_variants import ALIF, CLIF, GLIF, KLIF, ALIFState, CLIFState, GLIFState, KLIFState
from spikescan.neurons.para_lif import SPSN, ParaLIF, ParaLIFState
from spikescan.neurons.pmsn import PMSN, PMSNState
from spikescan.neurons.prf import PRF, S5RF, ResonatorState
from spikescan.neurons.psn import PSN, MaskedPSN, MaskedPSNState, PSNState, SlidingPSN, SlidingPSNState
from spikescan.neurons.registry import create_neuron, list_neurons

__all__ = [
    "ALIF",
    "CLIF",
    "DSN",
    "GLIF",
    "IF",
    "ILIF",
    "KLIF",
    "LIF",
    "PMSN",
    "PRF",
    "PSN",
    "S5RF",
    "SPSN",
    "ALIFState",
    "CLIFState",
    "Cost",
    "DSNState",
    "GLIFState",
    "KLIFState",
    "LIFState",
    "MaskedPSN",
    "MaskedPSNState",
    "Neuron",
    "PMSNState",
    "PSNState",
    "ParaLIF",
    "ParaLIFState",
    "ParametricLIF",
    "ResonatorState",
    "SlidingPSN",
    "SlidingPSNState",
    "State",
    "Temporal",
    "create_neuron",
    "detach",
    "list_neurons",
    "map_state",
    "spiking_neurons",
]
