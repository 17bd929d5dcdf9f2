"""Composition of temporal modules, and readouts."""

from spikescan.layers.hypr import HYPR, HYPRState
from spikescan.layers.per_step import PerStep
from spikescan.layers.readouts import LastReadout, LeakyReadout, MaxReadout, RateReadout, final_step
from spikescan.layers.recurrent import Recurrent, RecurrentState
from spikescan.layers.sequential import Residual, Sequential

__all__ = [
    "HYPR",
    "HYPRState",
    "LastReadout",
    "LeakyReadout",
    "MaxReadout",
    "PerStep",
    "RateReadout",
    "Recurrent",
    "RecurrentState",
    "Residual",
    "Sequential",
    "final_step",
]
