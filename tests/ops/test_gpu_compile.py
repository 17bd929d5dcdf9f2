"""Every Triton kernel, as it would be launched, compiles for real GPUs and spills no register. No GPU is needed.

The product of kinds, dtypes, shapes and devices would take an hour. A covering set: all kinds in float32; the other dtypes
with a simple kind and the one that computes most; the shapes that are cut differently, the options and the older device
with those two. float16 is compiled once: it differs from bfloat16 by two conversions.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from _gpu_support import FIRINGS, recorded_launches, resources

from spikescan import ops
from spikescan.layers.state_space import MODES
from spikescan.neurons import create_neuron, list_neurons
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops import Kind, Reset
from spikescan.ops._dispatch import load
from spikescan.ops.leaky_integration import leaky_cell

pytest.importorskip("triton", reason="Triton is not installed")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing")

empty = functools.partial(torch.empty, device="meta")
F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
MANY, FEW, SPACE = (32, 512, 1024, 1), (16384, 4, 64, 1), (4, 32, 64, 1024)  # [T, B, C, S]


def wide(dtype: torch.dtype) -> torch.dtype:
    return F64 if dtype == F64 else F32


def linear_recurrence(shape: tuple[int, int], dtype: torch.dtype, constant: bool, learnt: bool = True) -> None:
    gpu = load("linear_recurrence", "gpu")
    drive, initial = empty(shape, dtype=dtype), empty(shape[1], dtype=dtype)
    decay = empty(1 if constant else shape[0], shape[1], dtype=dtype)
    states, final = gpu.forward(decay, drive, initial)
    gpu.backward(states, final, decay, states if learnt else None, initial, len(drive))


def dynamic_decay(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    *,
    k: int = 4,
    exponent: float = 4.0,
    lengths: bool = False,
    keep: bool = True,
) -> None:
    gpu = load("dynamic_decay", "gpu")
    work = wide(dtype)
    x, weight, bias = empty(shape, dtype=dtype), empty(shape[2], k, dtype=work), empty(shape[2], dtype=work)
    membrane, window = empty(shape[1:], dtype=work), empty(k - 1, *shape[1:], dtype=work)
    valid = empty(shape[1], dtype=torch.int64) if lengths else None
    options = (valid, exponent, kind.value, FIRINGS[kind].numbers)
    spikes, final, membranes = gpu.forward(x, weight, bias, membrane, window, *options, keep)
    if keep:
        gpu.backward(spikes, final, x, weight, bias, membrane, window, membranes, *options)


def leaky_integration(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    reset: Reset = Reset.SOFT,
    *,
    detach: bool = False,
    lengths: bool = False,
    keep: bool = True,
) -> None:
    sweep(leaky_cell(reset, detach, FIRINGS[kind]), shape, dtype, kind, lengths=lengths, keep=keep)


def sweep(
    cell: ops.Cell, shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, *, lengths: bool = False, keep: bool = True
) -> None:
    gpu = load("sweep", "gpu")
    x, initial = empty(shape, dtype=dtype), empty(len(cell.states), *shape[1:], dtype=wide(dtype))
    parameters = empty(len(cell.parameters), shape[2], dtype=wide(dtype))
    valid = empty(shape[1], dtype=torch.int64) if lengths else None
    options = (valid, cell.key, kind.value, FIRINGS[kind].numbers)
    spikes, final, kept = gpu.forward(x, initial, parameters, *options, keep)
    if keep:
        for input_only in (False, True):
            gpu.backward(spikes, final, x, initial, parameters, kept, *options, input_only)


def causal_conv(shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, *, k: int = 4, dilation: int = 1) -> None:
    gpu = load("causal_conv", "gpu")
    work = wide(dtype)
    x, weight, bias = empty(shape, dtype=dtype), empty(shape[2], k, dtype=work), empty(shape[2], dtype=work)
    window = empty((k - 1) * dilation, *shape[1:], dtype=work)
    options = (dilation, kind.value, FIRINGS[kind].numbers)
    y = gpu.forward(x, weight, bias, window, *options)
    gpu.backward(y, x, weight, bias, window, *options)


def time_mixing(
    steps: int,
    shape: tuple[int, int],
    dtype: torch.dtype,
    kind: Kind,
    *,
    keep: bool = True,
    order: int | None = None,
) -> None:
    gpu = load("time_mixing", "gpu")
    weight, bias = empty(steps, shape[0], dtype=wide(dtype)), empty(steps, dtype=wide(dtype))
    gpu.forward(empty(shape, dtype=dtype), weight, bias, order, kind.value, FIRINGS[kind].numbers, keep)


def fire(dtype: torch.dtype, kind: Kind) -> None:
    gpu = load("fire", "gpu")
    membrane = empty(1 << 20, dtype=dtype)
    gpu.backward(gpu.forward(membrane, kind.value, FIRINGS[kind].numbers), membrane, kind.value, FIRINGS[kind].numbers)


def sigmoid(dtype: torch.dtype) -> None:
    load("sigmoid", "gpu").forward(empty(1 << 20, dtype=dtype))


def dropout(dtype: torch.dtype) -> None:
    load("dropout", "gpu").forward(empty(1 << 20, dtype=dtype), 1 << 14, empty((), dtype=torch.int64))


Call = Callable[[], None]
part = functools.partial


def each_op(kind: Kind, dtype: torch.dtype) -> dict[str, Call]:
    """Every fused op on a large layer."""
    return {
        f"dynamic_decay {kind.name} {dtype}": part(dynamic_decay, MANY, dtype, kind),
        f"leaky_integration {kind.name} {dtype}": part(leaky_integration, MANY, dtype, kind),
        f"causal_conv {kind.name} {dtype}": part(causal_conv, MANY, dtype, kind),
        f"time_mixing {kind.name} {dtype}": part(time_mixing, 1024, (1024, 4096), dtype, kind),
        f"fire {kind.name} {dtype}": part(fire, dtype, kind),
    }


KINDS: dict[str, Call] = {}
for kind in Kind:
    KINDS |= each_op(kind, F32)

DTYPES: dict[str, Call] = {
    "fire float16": part(fire, F16, Kind.SIGMOID),
    "sigmoid float32": part(sigmoid, F32),
    "sigmoid float64": part(sigmoid, F64),
    "dropout float32": part(dropout, F32),
    "dropout float64": part(dropout, F64),
}
for dtype in (F64, BF16):
    for kind in (Kind.INTEGER, Kind.MULTI_GAUSSIAN):
        DTYPES |= each_op(kind, dtype)
for dtype in (F32, F64, torch.complex64, torch.complex128):
    for constant in (True, False):
        DTYPES[f"linear_recurrence {dtype} {constant}"] = part(linear_recurrence, (16384, 256), dtype, constant)

OPTIONS: dict[str, Call] = {
    "linear_recurrence whole": part(linear_recurrence, (32, 1 << 19), F32, False),
    "linear_recurrence fixed": part(linear_recurrence, (16384, 256), F32, False, learnt=False),
    "linear_recurrence fixed and constant": part(linear_recurrence, (16384, 256), F32, True, learnt=False),
    "dynamic_decay exponent 1": part(dynamic_decay, MANY, F32, Kind.ATAN, exponent=1.0),
    "dynamic_decay exponent 2.5": part(dynamic_decay, MANY, F32, Kind.ATAN, exponent=2.5),
    "dynamic_decay exponent 2.5 float64": part(dynamic_decay, MANY, F64, Kind.ATAN, exponent=2.5),
    "dynamic_decay 1 tap": part(dynamic_decay, FEW, F32, Kind.INTEGER, k=1),
    "dynamic_decay 8 taps": part(dynamic_decay, MANY, F32, Kind.INTEGER, k=8),
    "dynamic_decay 16 taps": part(dynamic_decay, MANY, F32, Kind.INTEGER, k=16),
    "dynamic_decay inference": part(dynamic_decay, FEW, F32, Kind.INTEGER, keep=False),
    "leaky_integration inference": part(leaky_integration, FEW, F32, Kind.INTEGER, keep=False),
    "time_mixing banded": part(time_mixing, 1024, (1024, 4096), F32, Kind.ATAN, order=4),
    "time_mixing one step": part(time_mixing, 1, (32, 4096), F32, Kind.ATAN, keep=False),
    "causal_conv 1 tap": part(causal_conv, FEW, F32, Kind.INTEGER, k=1),
    "causal_conv 16 taps": part(causal_conv, FEW, F32, Kind.INTEGER, k=16),
}
for shape in (FEW, SPACE):
    OPTIONS |= {
        f"dynamic_decay {shape}": part(dynamic_decay, shape, BF16, Kind.INTEGER, lengths=True),
        f"leaky_integration {shape}": part(leaky_integration, shape, BF16, Kind.INTEGER, lengths=True),
        f"causal_conv {shape}": part(causal_conv, shape, BF16, Kind.INTEGER, dilation=3),
    }
for reset in Reset:
    for detach in (True, False):
        OPTIONS[f"leaky_integration {reset.name} {detach}"] = part(
            leaky_integration, MANY, F32, Kind.ATAN, reset, detach=detach
        )
for name in list_neurons():
    neuron = create_neuron(name, channels=1, time_steps=1)
    if isinstance(neuron, SweptNeuron):
        OPTIONS[f"sweep {name}"] = part(sweep, neuron.cell(), MANY, F32, Kind(neuron.firing.spec.kind))
OPTIONS["sweep of S4D's modes"] = part(sweep, MODES, MANY, F32, Kind.IDENTITY)
OPTIONS["leaky_integration HARD integer"] = part(leaky_integration, MANY, F32, Kind.INTEGER, Reset.HARD)

CASES = [(capability, name, call) for capability in (80, 90) for name, call in (KINDS | DTYPES | OPTIONS).items()]


@pytest.mark.parametrize(
    ("capability", "call"), [pytest.param(c, call, id=f"{name} sm_{c}") for c, name, call in CASES]
)
def test_kernels_compile_without_spills(capability: int, call: Call, tmp_path: Path) -> None:
    with recorded_launches() as launches:
        call()
    assert launches
    for launch in launches:
        used = resources(launch, capability, tmp_path)
        assert used["STACK"] == used["LOCAL"] == 0, f"{launch.kernel.__name__} spills: {used}"
