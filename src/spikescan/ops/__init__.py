"""Pure functions on tensors, each with a reference in torch, a Numba kernel for the CPU and a Triton kernel for the GPU."""

from spikescan.ops._dispatch import BACKENDS, OPS, backend, backend_report
from spikescan.ops._firing import IDENTITY, FiringSpec, Kind
from spikescan.ops._memory import retain_freed_memory
from spikescan.ops._power import squarings
from spikescan.ops._window import shift_window
from spikescan.ops.causal_conv import causal_conv, causal_conv_step
from spikescan.ops.dropout import dropout
from spikescan.ops.dynamic_decay import dynamic_decay, dynamic_decay_step
from spikescan.ops.fire import fire
from spikescan.ops.layer_norm import layer_norm
from spikescan.ops.leaky_integration import Reset, leaky_integration
from spikescan.ops.linear import linear
from spikescan.ops.linear_recurrence import linear_recurrence
from spikescan.ops.sigmoid import sigmoid
from spikescan.ops.sweep import Cell, sweep, sweep_membranes, sweep_step
from spikescan.ops.time_mixing import time_mixing

__all__ = [
    "BACKENDS",
    "IDENTITY",
    "OPS",
    "Cell",
    "FiringSpec",
    "Kind",
    "Reset",
    "backend",
    "backend_report",
    "causal_conv",
    "causal_conv_step",
    "dropout",
    "dynamic_decay",
    "dynamic_decay_step",
    "fire",
    "layer_norm",
    "leaky_integration",
    "linear",
    "linear_recurrence",
    "retain_freed_memory",
    "shift_window",
    "sigmoid",
    "squarings",
    "sweep",
    "sweep_membranes",
    "sweep_step",
    "time_mixing",
]
