"""spikescan: train spiking neural networks in parallel over time, run them step by step, with the same spikes."""

import os

# An idle thread of GNU OpenMP spins for milliseconds after each parallel operation of torch, on the core that our next kernel
# needs: a training step took 44 ms with it and 30 without. OpenMP reads this once, when torch is first loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from spikescan import ops
from spikescan.errors import BackendError, CheckpointError, DataError, InputError
from spikescan.firing import (
    ATan,
    Binary,
    FastSigmoid,
    Integer,
    MultiGaussian,
    Rectangular,
    Sigmoid,
    Triangular,
    from_thermometer,
    to_thermometer,
)
from spikescan.layers import (
    LastReadout,
    LeakyReadout,
    MaxReadout,
    PerStep,
    RateReadout,
    Residual,
    Sequential,
    final_step,
)
from spikescan.models import create_model, list_models
from spikescan.neurons import (
    ALIF,
    CLIF,
    DSN,
    GLIF,
    IF,
    ILIF,
    KLIF,
    LIF,
    PMSN,
    PRF,
    PSN,
    S5RF,
    SPSN,
    Cost,
    MaskedPSN,
    Neuron,
    ParaLIF,
    ParametricLIF,
    SlidingPSN,
    State,
    Temporal,
    create_neuron,
    detach,
    list_neurons,
    map_state,
)
from spikescan.ops import backend, backend_report, linear_recurrence, retain_freed_memory
from spikescan.streaming import Streams, stream

__version__ = "0.1.0"

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
    "ATan",
    "BackendError",
    "Binary",
    "CheckpointError",
    "Cost",
    "DataError",
    "FastSigmoid",
    "InputError",
    "Integer",
    "LastReadout",
    "LeakyReadout",
    "MaskedPSN",
    "MaxReadout",
    "MultiGaussian",
    "Neuron",
    "ParaLIF",
    "ParametricLIF",
    "PerStep",
    "RateReadout",
    "Rectangular",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SlidingPSN",
    "State",
    "Streams",
    "Temporal",
    "Triangular",
    "__version__",
    "backend",
    "backend_report",
    "create_model",
    "create_neuron",
    "detach",
    "final_step",
    "from_thermometer",
    "linear_recurrence",
    "list_models",
    "list_neurons",
    "map_state",
    "ops",
    "retain_freed_memory",
    "stream",
    "to_thermometer",
]
