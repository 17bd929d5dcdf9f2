"""Spiking neurons that train in parallel over time and run step by step; one file a family."""

from spikescan.neurons.auxiliary import auxiliary_losses
from spikescan.neurons.base import Cost, Neuron, State, Temporal, detach, map_state, spiking_neurons
from spikescan.neurons.dsn import DSN, DSNState
from spikescan.neurons.dsn_variants import DenseDSN, InterChannelDSN, LowRankDSN, StaticDSN, StaticDSNState
from spikescan.neurons.lif import IF, ILIF, LIF, LIFState, ParametricLIF
from spikescan.neurons.lif_variants import (
    ALIF,
    CLIF,
    GLIF,
    KLIF,
    ALIFState,
    CLIFState,
    DelayedResetLIF,
    GLIFState,
    KLIFState,
)
from spikescan.neurons.mpe import MPEPSN, MPEPSNState
from spikescan.neurons.mulfree import (
    MulFreePSN,
    MulFreePSNState,
    ShiftPSN,
    ShiftPSNState,
    sawtooth,
    set_dilations,
    to_shift,
)
from spikescan.neurons.para_lif import SPSN, ParaLIF, ParaLIFState
from spikescan.neurons.pmsn import PMSN, PMSNState
from spikescan.neurons.prf import PRF, S5RF, ResonatorState
from spikescan.neurons.progress import follow_training
from spikescan.neurons.psn import PSN, MaskedPSN, MaskedPSNState, PSNState, SlidingPSN, SlidingPSNState
from spikescan.neurons.psu import IPSU, PSU, RPSU, IPSUState, PSUState, RPSUState
from spikescan.neurons.registry import create_neuron, list_neurons

__all__ = [
    "ALIF",
    "CLIF",
    "DSN",
    "GLIF",
    "IF",
    "ILIF",
    "IPSU",
    "KLIF",
    "LIF",
    "MPEPSN",
    "PMSN",
    "PRF",
    "PSN",
    "PSU",
    "RPSU",
    "S5RF",
    "SPSN",
    "ALIFState",
    "CLIFState",
    "Cost",
    "DSNState",
    "DelayedResetLIF",
    "DenseDSN",
    "GLIFState",
    "IPSUState",
    "InterChannelDSN",
    "KLIFState",
    "LIFState",
    "LowRankDSN",
    "MPEPSNState",
    "MaskedPSN",
    "MaskedPSNState",
    "MulFreePSN",
    "MulFreePSNState",
    "Neuron",
    "PMSNState",
    "PSNState",
    "PSUState",
    "ParaLIF",
    "ParaLIFState",
    "ParametricLIF",
    "RPSUState",
    "ResonatorState",
    "ShiftPSN",
    "ShiftPSNState",
    "SlidingPSN",
    "SlidingPSNState",
    "State",
    "StaticDSN",
    "StaticDSNState",
    "Temporal",
    "auxiliary_losses",
    "create_neuron",
    "detach",
    "follow_training",
    "list_neurons",
    "map_state",
    "sawtooth",
    "set_dilations",
    "spiking_neurons",
    "to_shift",
]
