"""Dropout on the CPU: a chunk of draws after the other, which stay in the first cache."""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import row
from spikescan.ops._threads import parts, spread
from spikescan.ops.dropout.reference import LAST_SHIFT, LEVELS, ROUNDS, STRIDE, scale

__all__ = ["forward"]

CHUNK = 1024
# Constants of 64 bits without a sign: Numba makes a float of the sum of one with and one without.
_STRIDE, _LAST = np.uint64(STRIDE), np.uint64(LAST_SHIFT)
(_SHIFT_1, _FACTOR_1), (_SHIFT_2, _FACTOR_2) = ((np.uint64(shift), np.uint64(factor)) for shift, factor in ROUNDS)


@inline
def _mixed(bits):
    bits = (bits ^ (bits >> _SHIFT_1)) * _FACTOR_1
    bits = (bits ^ (bits >> _SHIFT_2)) * _FACTOR_2
    return bits ^ (bits >> _LAST)


@kernel
def _forward(x_at, y_at, factor, low, high, size, least, seed):
    x, y = row(x_at, size, factor), row(y_at, size, factor)
    bits = np.empty(CHUNK // 4, np.uint64)
    zero = factor * 0
    draws = bits.view(np.uint16)  # the lowest 16 bits first on every processor that Numba compiles for
    for start in range(low, high, CHUNK):
        count = min(high - start, CHUNK)
        state = seed + np.uint64(start // 4) * _STRIDE
        for group in range(CHUNK // 4):
            state += _STRIDE
            bits[group] = _mixed(state)
        values, out = x[start : start + count], y[start : start + count]
        for i in range(count):
            scaled = values[i] * factor  # of all: what is computed of some is not computed in vectors
            out[i] = scaled if draws[i] >= least else zero


def forward(x: Tensor, dropped: int, seed: Tensor) -> Tensor:
    """As `reference.forward`, of a contiguous float32 or float64 tensor."""
    if dropped == LEVELS:
        return torch.zeros_like(x)
    y = torch.empty_like(x)
    size, factor, start = x.numel(), type(number_like(x))(scale(dropped)), np.uint64(int(seed) % (1 << 64))
    least = np.uint16(dropped)  # compared as it is drawn, or a vector would hold a quarter as many

    def run(_: int, low: int, high: int) -> None:
        _forward(x.data_ptr(), y.data_ptr(), factor, low, high, size, least, start)

    spread(run, size, CHUNK, parts(size, 1, CHUNK))
    return y
