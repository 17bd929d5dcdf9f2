"""Composition of temporal modules, and readouts."""

from spikescan.layers.per_step import PerStep
from spikescan.layers.readouts import LastReadout, LeakyReadout, MaxReadout, RateReadout, final_step
from spikescan.layers.sequential import Residual, Sequential

__all__ = [
    "LastReadout",
    "LeakyReadout",
    "MaxReadout",
    "PerStep",
    "RateReadout",
    "Residual",
    "Sequential",
    "final_step",
]
