"""The logistic function on vectors; its gradient needs no kernel: it is three exact operations of torch."""

import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, LOG2_E, exp2_of, load, part, row, store, traced, whole
from spikescan.ops._threads import parts, spread


@traced
def logistic(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (exp2_of(x * -LOG2_E) + 1.0)


@inline
def _group(x, out, n, group):
    store(out, n, logistic(load(x, n, group)), group)


@kernel
def _forward(x_at, out_at, like, low, high, size):
    x, out = row(x_at, size, like), row(out_at, size, like)
    step = BYTES // x.itemsize
    for n in range(low, high, step):
        if high - n >= step:
            _group(x, out, n, whole(x))
        else:
            _group(x, out, n, part(x, high - n))


def forward(x: Tensor) -> Tensor:
    """As `reference.forward`, of a contiguous float32 or float64 tensor."""
    out = torch.empty_like(x)
    size = x.numel()

    def run(_: int, low: int, high: int) -> None:
        _forward(x.data_ptr(), out.data_ptr(), number_like(x), low, high, size)

    grain = BYTES // x.itemsize
    spread(run, size, grain, parts(size, 1, grain))
    return out
