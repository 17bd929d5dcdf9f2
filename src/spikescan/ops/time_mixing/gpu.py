"""A dense matrix over time and firing, as a Triton kernel."""

import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._triton import Launch, fire

__all__ = ["forward"]

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
    level: tl.float64,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    D: tl.constexpr = weight.dtype.element_ty
    step = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    neuron = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    h = tl.zeros((ROWS, COLUMNS), D)
    for first in range(0, steps_in, INNER):
        across = first + tl.arange(0, INNER)[None, :]
        down = first + tl.arange(0, INNER)[:, None]
        taps_place = step.to(tl.int64) * steps_in + across
        taps = tl.load(weight + taps_place, mask=(step < steps) & (across < steps_in), other=0.0)
        seen = tl.load(x + down * N + neuron, mask=(down < steps_in) & (neuron < N), other=0.0).to(D)
        h = tl.dot(taps, seen, h, input_precision="ieee", out_dtype=D)
    h += tl.load(bias + step, mask=step < steps, other=0.0)
    mask = (step < steps) & (neuron < N)
    tl.store(spikes + step * N + neuron, fire(h, level, KIND), mask=mask)
    if membranes is not None:
        tl.store(membranes + step * N + neuron, h, mask=mask)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, kind: int, numbers: list[float], keep: bool
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
        "level": numbers[0],
        "KIND": kind,
        "ROWS": rows,
        "COLUMNS": columns,
        "INNER": INNER,
    }
    grid = (triton.cdiv(N, columns), triton.cdiv(steps, rows))
    Launch(_forward, grid, rows * columns // 512, arguments).run()  # 16 sums a thread
    return spikes, membranes
