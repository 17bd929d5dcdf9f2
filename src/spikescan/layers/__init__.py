"""Composition of temporal modules, and readouts."""

from spikescan.layers.attention import DecayingSum, SpikeAttention, TokenSum
from spikescan.layers.dropout import Dropout
from spikescan.layers.from_last import FromLast
from spikescan.layers.glu import GLU
from spikescan.layers.hypr import HYPR, HYPRState
from spikescan.layers.layer_norm import LayerNorm
from spikescan.layers.linear import Linear
from spikescan.layers.per_step import PerStep
from spikescan.layers.places import EachPlace, Standardised, StandardisedState
from spikescan.layers.readouts import LastReadout, LeakyReadout, MaxReadout, RateReadout, final_step
from spikescan.layers.recurrent import Recurrent, RecurrentState
from spikescan.layers.scale import Scale
from spikescan.layers.sequential import Residual, Sequential
from spikescan.layers.state_space import S4D, S4DState
from spikescan.layers.window import Window, WindowState

__all__ = [
    "GLU",
    "HYPR",
    "S4D",
    "DecayingSum",
    "Dropout",
    "EachPlace",
    "FromLast",
    "HYPRState",
    "LastReadout",
    "LayerNorm",
    "LeakyReadout",
    "Linear",
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
    "Standardised",
    "StandardisedState",
    "TokenSum",
    "Window",
    "WindowState",
    "final_step",
]
