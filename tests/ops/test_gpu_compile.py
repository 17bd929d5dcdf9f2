"""Every Triton kernel, as it would be launched, compiles for real GPUs and spills no register. No GPU is needed.

All kinds are compiled in float32; the other dtypes with one simple kind and the one that computes most. That covers every
branch with every dtype at a fraction of the product.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from _gpu_support import FIRINGS, recorded_launches, resources

from spikescan.ops import Kind, Reset
from spikescan.ops._dispatch import load

pytest.importorskip("triton", reason="Triton is not installed")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing")

empty = functools.partial(torch.empty, device="meta")
F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
KINDS = [(kind, F32) for kind in Kind] + [
    (kind, dtype) for kind in (Kind.INTEGER, Kind.MULTI_GAUSSIAN) for dtype in (F64, BF16)
]
MANY, FEW, SPACE = (32, 512, 1024, 1), (16384, 4, 64, 1), (4, 32, 64, 1024)  # [T, B, C, S]


def wide(dtype: torch.dtype) -> torch.dtype:
    return F64 if dtype == F64 else F32


def linear_recurrence(shape: tuple[int, int], dtype: torch.dtype, constant: bool) -> None:
    gpu = load("linear_recurrence", "gpu")
    drive, initial = empty(shape, dtype=dtype), empty(shape[1], dtype=dtype)
    decay = empty(1 if constant else shape[0], shape[1], dtype=dtype)
    states, final = gpu.forward(decay, drive, initial)
    gpu.backward(states, final, decay, states, initial)


def dynamic_decay(
    shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, *, k: int = 4, exponent: float = 4.0, lengths: bool = False
) -> None:
    gpu = load("dynamic_decay", "gpu")
    work = wide(dtype)
    x, weight, bias = empty(shape, dtype=dtype), empty(shape[2], k, dtype=work), empty(shape[2], dtype=work)
    membrane, window = empty(shape[1:], dtype=work), empty(k - 1, *shape[1:], dtype=work)
    valid = empty(shape[1], dtype=torch.int64) if lengths else None
    options = (valid, exponent, kind.value, FIRINGS[kind].numbers)
    for keep in (False, True):
        spikes, final, membranes = gpu.forward(x, weight, bias, membrane, window, *options, keep)
    gpu.backward(spikes, final, x, weight, bias, membrane, window, membranes, *options)


def leaky_integration(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    reset: Reset = Reset.SOFT,
    *,
    detach: bool = False,
    lengths: bool = False,
) -> None:
    gpu = load("leaky_integration", "gpu")
    x, decay, gain = empty(shape, dtype=dtype), *(empty(shape[2], dtype=wide(dtype)) for _ in range(2))
    membrane = empty(shape[1:], dtype=wide(dtype))
    valid = empty(shape[1], dtype=torch.int64) if lengths else None
    options = (valid, reset.value, detach, kind.value, FIRINGS[kind].numbers)
    for keep in (False, True):
        spikes, final, charges = gpu.forward(x, decay, gain, membrane, *options, keep)
    gpu.backward(spikes, final, x, decay, gain, membrane, charges, *options)


def causal_conv(shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, *, k: int = 4, dilation: int = 1) -> None:
    gpu = load("causal_conv", "gpu")
    work = wide(dtype)
    x, weight, bias = empty(shape, dtype=dtype), empty(shape[2], k, dtype=work), empty(shape[2], dtype=work)
    window = empty((k - 1) * dilation, *shape[1:], dtype=work)
    options = (dilation, kind.value, FIRINGS[kind].numbers)
    y = gpu.forward(x, weight, bias, window, *options)
    gpu.backward(y, x, weight, bias, window, *options)


def time_mixing(steps: int, shape: tuple[int, int], dtype: torch.dtype, kind: Kind) -> None:
    gpu = load("time_mixing", "gpu")
    weight, bias = empty(steps, shape[0], dtype=wide(dtype)), empty(steps, dtype=wide(dtype))
    for keep in (False, True):
        gpu.forward(empty(shape, dtype=dtype), weight, bias, kind.value, FIRINGS[kind].numbers, keep)


def fire(dtype: torch.dtype, kind: Kind) -> None:
    gpu = load("fire", "gpu")
    membrane = empty(1 << 20, dtype=dtype)
    gpu.backward(gpu.forward(membrane, kind.value, FIRINGS[kind].numbers), membrane, kind.value, FIRINGS[kind].numbers)


Call = Callable[[], None]
part = functools.partial

CALLS: dict[str, Call] = {}
for dtype in (F32, F64, torch.complex64, torch.complex128):
    for constant in (True, False):
        for shape in ((32, 1 << 19), (16384, 256)):
            CALLS[f"linear_recurrence {dtype} {shape} {constant}"] = part(linear_recurrence, shape, dtype, constant)
for kind, dtype in KINDS:
    CALLS[f"dynamic_decay {kind.name} {dtype}"] = part(dynamic_decay, MANY, dtype, kind)
    CALLS[f"leaky_integration {kind.name} {dtype}"] = part(leaky_integration, MANY, dtype, kind)
    CALLS[f"causal_conv {kind.name} {dtype}"] = part(causal_conv, MANY, dtype, kind)
    CALLS[f"time_mixing {kind.name} {dtype}"] = part(time_mixing, 1024, (1024, 4096), dtype, kind)
    CALLS[f"fire {kind.name} {dtype}"] = part(fire, dtype, kind)
for kind, dtype in ((Kind.INTEGER, F32), (Kind.INTEGER, F64), (Kind.MULTI_GAUSSIAN, BF16)):
    for shape in (FEW, SPACE):
        CALLS[f"dynamic_decay {kind.name} {dtype} {shape}"] = part(dynamic_decay, shape, dtype, kind, lengths=True)
        CALLS[f"leaky_integration {kind.name} {dtype} {shape}"] = part(
            leaky_integration, shape, dtype, kind, Reset.HARD, lengths=True
        )
        CALLS[f"causal_conv {kind.name} {dtype} {shape}"] = part(causal_conv, shape, dtype, kind, dilation=3)
for k in (1, 2, 8, 16):
    CALLS[f"dynamic_decay {k} taps"] = part(dynamic_decay, FEW, F32, Kind.INTEGER, k=k)
    CALLS[f"causal_conv {k} taps"] = part(causal_conv, FEW, F32, Kind.INTEGER, k=k)
for exponent in (1.0, 2.5):
    CALLS[f"dynamic_decay exponent {exponent}"] = part(dynamic_decay, MANY, F32, Kind.ATAN, exponent=exponent)
CALLS["dynamic_decay exponent 2.5 float64"] = part(dynamic_decay, MANY, F64, Kind.ATAN, exponent=2.5)
for reset in Reset:
    for detach in (True, False):
        for kind in (Kind.INTEGER, Kind.ATAN):
            CALLS[f"leaky_integration {reset.name} {detach} {kind.name}"] = part(
                leaky_integration, MANY, F32, kind, reset, detach=detach
            )
CALLS["time_mixing one step"] = part(time_mixing, 1, (32, 4096), F32, Kind.ATAN)
CALLS["fire float16"] = part(fire, F16, Kind.SIGMOID)


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", CALLS)
def test_kernel_compiles_without_spills(name: str, capability: int, tmp_path: Path) -> None:
    with recorded_launches() as launches:
        CALLS[name]()
    assert launches
    for launch in launches:
        used = resources(launch, capability, tmp_path)
        assert used["STACK"] == used["LOCAL"] == 0, f"{launch.kernel.__name__} spills: {used}"
