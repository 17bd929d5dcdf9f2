"""Composition of temporal modules, and readouts."""

from spikescan.layers.attention import DecayingSum, SpikeAttention, TokenSum
from spikescan.layers.hypr import HYPR, HYPRState
from spikescan.layers.per_step import PerStep
from spikescan.layers.readouts import LastReadout, LeakyReadout, MaxReadout, RateReadout, final_step
from spikescan.layers.recurrent import Recurrent, RecurrentState
from spikescan.layers.scale import Scale
from spikescan.layers.sequential import Residual, Sequential
from spikescan.layers.state_space import S4D, S4DState

__all__ = [
    "HYPR",
    "S4D",
    "DecayingSum",
    "HYPRState",
    "LastReadout",
    "LeakyReadout",
    "MaxReadout",
    "PerStep",
    "RateReadout",
    "Recurrent",
    "RecurrentState",
    "Residual",
    "S4DState",
    "Scale",
    "Sequential",
    "SpikeAttention",
    "TokenSum",
    "final_step",
]
