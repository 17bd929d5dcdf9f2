"""Layer norm whose sums are taken in an order that does not depend on the rest of a call."""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, fma, full, kept, load, part, row, store, summed, traced, whole
from spikescan.ops._threads import parts, spread

__all__ = ["forward", "normalised", "rows_of"]


@inline
def _sum(x, first, size):
    """Of the numbers of a row: lane by lane, then of the lanes; in every lane."""
    step = BYTES // x.itemsize
    total = full(0.0, whole(x))
    for i in range(0, size - size % step, step):
        total = total + load(x, first + i, whole(x))
    if size % step:
        total = total + load(x, first + size - size % step, part(x, size % step))
    return summed(total)


@inline
def _square(x, at, mean, total, group):
    difference = kept(load(x, at, group) - mean, group)
    return fma(difference, difference, total)


@inline
def _sum_of_squares(x, first, size, mean):
    """As `_sum`, of the squares of the differences from the mean."""
    step = BYTES // x.itemsize
    total = full(0.0, whole(x))
    for i in range(0, size - size % step, step):
        total = _square(x, first + i, mean, total, whole(x))
    if size % step:
        total = _square(x, first + size - size % step, mean, total, part(x, size % step))
    return summed(total)


@traced
def _one_over_root(variance):
    return 1.0 / variance.llvm("sqrt")


@inline
def _scaled(x, gain, offset, y, first, i, mean, scale, group):
    difference = (load(x, first + i, group) - mean) * scale
    store(y, first + i, fma(difference, load(gain, i, group), load(offset, i, group)), group)


@inline
def normalised(x, gain, offset, y, each, size, epsilon, centred):
    """Write row `each`, gain (x - mean) / deviation + offset, and return mean and 1 / deviation, in every lane of a vector.

    Without the mean (and a mean of 0) where not `centred`.
    """
    first, step = each * size, BYTES // x.itemsize
    mean = _sum(x, first, size) / np.float64(size) if centred else full(0.0, whole(x))
    scale = _one_over_root(_sum_of_squares(x, first, size, mean) / np.float64(size) + epsilon)
    for i in range(0, size - size % step, step):
        _scaled(x, gain, offset, y, first, i, mean, scale, whole(x))
    if size % step:
        _scaled(x, gain, offset, y, first, size - size % step, mean, scale, part(x, size % step))
    return mean, scale


@kernel
def _forward(x_at, gain_at, offset_at, y_at, mean_at, scale_at, like, low, high, rows, size, epsilon):
    x, y = row(x_at, rows * size, like), row(y_at, rows * size, like)
    gain, offset = row(gain_at, size, like), row(offset_at, size, like)
    means, scales = row(mean_at, rows, like), row(scale_at, rows, like)
    for each in range(low, high):
        mean, scale = normalised(x, gain, offset, y, each, size, epsilon, True)
        if mean_at:
            store(means, each, mean, part(x, 1))
            store(scales, each, scale, part(x, 1))


def forward(x: Tensor, gain: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of ``[R, C]``, and of each its mean and 1 / deviation ``[R, 1]``."""
    mean, scale = x.new_empty(len(x), 1), x.new_empty(len(x), 1)
    return _run(x, gain, offset, mean.data_ptr(), scale.data_ptr(), epsilon), mean, scale


def rows_of(x: Tensor, gain: Tensor, offset: Tensor, epsilon: float) -> Tensor:
    """The rows alone, for a call that has no gradient."""
    return _run(x, gain, offset, 0, 0, epsilon)


def _run(x: Tensor, gain: Tensor, offset: Tensor, mean_at: int, scale_at: int, epsilon: float) -> Tensor:
    (rows, size), y, like = x.shape, torch.empty_like(x), number_like(x)
    addresses = x.data_ptr(), gain.data_ptr(), offset.data_ptr(), y.data_ptr(), mean_at, scale_at

    def run(_: int, low: int, high: int) -> None:
        _forward(*addresses, like, low, high, rows, size, epsilon)

    spread(run, rows, 1, parts(rows, 2 * size, 1))
    return y
