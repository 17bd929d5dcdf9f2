"""A matrix over time; each sum runs over time in order, so that its bits depend on nothing else.

A panel is a few vectors of neurons. Its inputs are copied, a chunk of time after the other, to where they lie side by side;
then a few rows of the matrix at a time keep their sums of one vector in registers while they walk through the chunk. So the
matrix is read once a panel, and each input once for these rows.
"""

import numpy as np
from torch import Tensor

from spikescan.ops._arrays import empty, in_compute_dtype, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, fma, full, load, part, row, static, store, whole
from spikescan.ops._threads import parts, spread
from spikescan.ops.fire import cpu as firing
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.time_mixing import _band, _products

__all__ = ["backward", "forward"]

# Rows of the matrix that share the reading of an input: their sums stay in registers.
ROWS = 6
# Vectors of a panel, and steps of a chunk: the chunk of a vector fits the first cache, that of a panel the second.
PANEL = 4
CHUNK = 192
# Inputs that a row of a band takes, up to which it is walked like a filter; a wider one is a matrix that is partly left out.
NARROW = 128


@inline
def _pack(x, packed, n, first, last, neurons, group):
    """The inputs of the vector at neuron n from `first` to `last`, side by side."""
    step = BYTES // x.itemsize
    for i in range(first, last):
        store(packed, (i - first) * step, load(x, i * neurons + n, group), whole(x))


@inline
def _add(weight, t, i, rows_in, newest, order, banded, inputs, h):
    """The sum h with what row t of the matrix takes of the inputs i: nothing outside the band, where there is one."""
    if len(banded) > 0 and (i > t + newest or i <= t + newest - order):
        return h  # not 0 * inputs, which may be no number
    return fma(full(weight[t * rows_in + i], h), inputs, h)


@inline
def _accumulate(packed, sums, weight, vector, low, high, first, last, rows_in, rows_out, newest, order, banded):
    """Add the inputs from `first` to `last` to the sums of rows `low` to `high`, for one vector."""
    step = BYTES // weight.itemsize
    group, height = whole(weight), PANEL * step
    for t in range(low, high, ROWS):
        # Past the last row the sums are of no row, and nobody reads them.
        t1, t2, t3 = min(t + 1, rows_out - 1), min(t + 2, rows_out - 1), min(t + 3, rows_out - 1)
        t4, t5 = min(t + 4, rows_out - 1), min(t + 5, rows_out - 1)
        at = t * height + vector * step
        h0, h1, h2 = load(sums, at, group), load(sums, at + height, group), load(sums, at + 2 * height, group)
        h3, h4 = load(sums, at + 3 * height, group), load(sums, at + 4 * height, group)
        h5 = load(sums, at + 5 * height, group)
        begin, end = first, last
        if len(banded) > 0:
            begin, end = max(first, t + newest - order + 1), min(last, t + ROWS + newest)
        for i in range(begin, end):
            inputs = load(packed, (i - first) * step, group)
            h0 = _add(weight, t, i, rows_in, newest, order, banded, inputs, h0)
            h1 = _add(weight, t1, i, rows_in, newest, order, banded, inputs, h1)
            h2 = _add(weight, t2, i, rows_in, newest, order, banded, inputs, h2)
            h3 = _add(weight, t3, i, rows_in, newest, order, banded, inputs, h3)
            h4 = _add(weight, t4, i, rows_in, newest, order, banded, inputs, h4)
            h5 = _add(weight, t5, i, rows_in, newest, order, banded, inputs, h5)
        store(sums, at, h0, group)
        store(sums, at + height, h1, group)
        store(sums, at + 2 * height, h2, group)
        store(sums, at + 3 * height, h3, group)
        store(sums, at + 4 * height, h4, group)
        store(sums, at + 5 * height, h5, group)


@inline
def _finish(sums, out, membranes, vector, n, neurons, rows_out, kind, level, keep, group):
    step = BYTES // out.itemsize
    for t in range(rows_out):
        h = load(sums, (t * PANEL + vector) * step, whole(out))
        store(out, t * neurons + n, fire(h, kind, level), group)
        if keep:
            store(membranes, t * neurons + n, h, group)


@kernel
def _forward(
    x_at, weight_at, bias_at, out_at, membranes_at, like, low, high, neurons, rows_in, rows_out, order, banded, kind, level,
    keep,
):  # fmt: skip
    x, weight, bias = (
        row(x_at, rows_in * neurons, like),
        row(weight_at, rows_out * rows_in, like),
        row(bias_at, rows_out, like),
    )
    out, membranes = row(out_at, rows_out * neurons, like), row(membranes_at, rows_out * neurons if keep else 0, like)
    step = BYTES // x.itemsize
    newest = rows_in - rows_out  # row t sees the input t + newest last, where the matrix is banded
    packed, sums = np.empty(CHUNK * step, x.dtype), np.empty((rows_out + ROWS) * PANEL * step, x.dtype)
    for start in range(low, high, PANEL * step):
        stop = min(start + PANEL * step, high)
        for t in range(rows_out):
            sums[t * PANEL * step : (t + 1) * PANEL * step] = bias[t]
        for first in range(0, rows_in, CHUNK):
            last = min(first + CHUNK, rows_in)
            from_row, to_row = 0, rows_out
            if len(banded) > 0:
                from_row, to_row = max(first - newest, 0), min(last - 1 - newest + order, rows_out)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _pack(x, packed, n, first, last, neurons, whole(x))
                else:
                    _pack(x, packed, n, first, last, neurons, part(x, stop - n))
                _accumulate(
                    packed, sums, weight, (n - start) // step, from_row, to_row, first, last, rows_in, rows_out, newest,
                    order, banded,
                )  # fmt: skip
        for n in range(start, stop, step):
            if stop - n >= step:
                _finish(sums, out, membranes, (n - start) // step, n, neurons, rows_out, kind, level, keep, whole(x))
            else:
                group = part(x, stop - n)
                _finish(sums, out, membranes, (n - start) // step, n, neurons, rows_out, kind, level, keep, group)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, order: int | None, kind: int, numbers: list[float], keep: bool
) -> tuple[Tensor, Tensor]:
    """The output ``[T_out, N]`` and, if `keep`, what was fired."""
    if order is not None and order <= NARROW:
        return _band.forward(x, weight, bias, order, kind, numbers, keep)
    (rows_out, rows_in), neurons = weight.shape, x.shape[1]
    inputs = in_compute_dtype(x)
    out = empty((rows_out, neurons), x)
    membranes = empty((rows_out, neurons) if keep else (0,), x)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, weight, bias, out, membranes))
    banded = static(order is not None)
    taps = rows_in if order is None else min(order, rows_in)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(out), low, high, neurons, rows_in, rows_out, taps, banded, static(kind), numbers[0],
            keep,
        )  # fmt: skip

    grain = BYTES // out.itemsize
    spread(run, neurons, grain, parts(neurons, rows_out * -(-taps // 16), grain))
    return out.to(x.dtype), membranes


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, membranes: Tensor, order: int | None, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    if order is not None and order <= NARROW:
        return _band.backward(grad, x, weight, membranes, order, kind, numbers)
    return _products.backward(firing.backward(grad.to(weight.dtype), membranes, kind, numbers), x, weight, order)
