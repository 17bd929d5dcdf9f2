"""A dense matrix over time and firing, as a Triton kernel."""

import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._triton import Launch, fire
from spikescan.ops.fire import gpu as firing
from spikescan.ops.time_mixing import _products

__all__ = ["backward", "forward"]

INNER = 16  # the same for every shape: it fixes the order in which a neuron's products are added


@triton.jit
def _forward(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    spikes: tl.tensor,
    membranes: tl.tensor,
    steps: tl.int32,
    steps_in: tl.int32,
    N: tl.int64,
    order: tl.int32,
    level: tl.float64,
    BANDED: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    D: tl.constexpr = weight.dtype.element_ty
    step = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    neuron = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    h = tl.zeros((ROWS, COLUMNS), D)
    begin, end = 0, steps_in
    if BANDED:
        newest = steps_in - steps
        begin = tl.maximum(tl.program_id(1) * ROWS + newest - order + 1, 0) // INNER * INNER
        end = tl.minimum(tl.program_id(1) * ROWS + ROWS + newest, steps_in)
    for first in range(begin, end, INNER):
        across = first + tl.arange(0, INNER)[None, :]
        down = first + tl.arange(0, INNER)[:, None]
        taps_place = step.to(tl.int64) * steps_in + across
        used = (step < steps) & (across < steps_in)
        if BANDED:
            lag = step + newest - across
            used = used & (lag >= 0) & (lag < order)
        taps = tl.load(weight + taps_place, mask=used, other=0.0)
        seen = tl.load(x + down * N + neuron, mask=(down < steps_in) & (neuron < N), other=0.0).to(D)
        h = tl.dot(taps, seen, h, input_precision="ieee", out_dtype=D)
    h += tl.load(bias + step, mask=step < steps, other=0.0)
    mask = (step < steps) & (neuron < N)
    tl.store(spikes + step * N + neuron, fire(h, level, KIND), mask=mask)
    if membranes is not None:
        tl.store(membranes + step * N + neuron, h, mask=mask)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, order: int | None, kind: int, numbers: list[float], keep: bool
) -> tuple[Tensor, Tensor]:
    """Spikes ``[T_out, N]`` and, if `keep`, the membranes; the rest as `reference.forward`."""
    steps, N = weight.shape[0], x.shape[1]
    spikes = x.new_empty(steps, N)
    membranes = x.new_empty(spikes.shape if keep else (0,), dtype=weight.dtype)
    rows = min(max(triton.next_power_of_2(steps), 16), 64)
    columns = 64
    arguments = {
        "x": x,
        "weight": weight,
        "bias": bias,
        "spikes": spikes,
        "membranes": membranes if keep else None,
        "steps": steps,
        "steps_in": x.shape[0],
        "N": N,
        "order": 0 if order is None else min(order, x.shape[0]),
        "level": numbers[0],
        "BANDED": order is not None,
        "KIND": kind,
        "ROWS": rows,
        "COLUMNS": columns,
        "INNER": INNER,
    }
    grid = (triton.cdiv(N, columns), triton.cdiv(steps, rows))
    Launch(_forward, grid, rows * columns // 512, arguments).run()  # 16 sums a thread
    return spikes, membranes


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, membranes: Tensor, order: int | None, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    return _products.backward(firing.backward(grad.to(weight.dtype), membranes, kind, numbers), x, weight, order)
