"""A banded matrix over time on the CPU: row t takes the k inputs up to that at t + newest, oldest first, behind its bias.

It walks like a causal filter whose taps differ from step to step (`ops/_filters.py`): inputs of a vector of neurons are copied
to a panel, and four sums at a time run through them. The band lies in a table of its own, k taps a row, with zeros where a
row reaches beyond the matrix and k - 1 rows of zeros before and behind.
"""

import torch
from torch import Tensor

from spikescan.ops._arrays import empty, number_like
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops._compile import inline, kernel
from spikescan.ops._filters import AT_ONCE, onward
from spikescan.ops._simd import (
    BYTES,
    axpys,
    fma,
    full,
    load,
    load_numbers,
    part,
    prefetch,
    pushed,
    put,
    release,
    row,
    scratch,
    static,
    store,
    store_rows,
    upcoming,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache, tiling
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through

__all__ = ["backward", "forward"]


@kernel
def _tabulate(weight_at, band_at, like, rows, columns, k):
    """Write the band to its table."""
    weight, band = row(weight_at, rows * columns, like), row(band_at, (rows + 2 * (k + AT_ONCE)) * k, like)
    for t in range(rows):
        oldest = t + columns - rows - k + 1
        for j in range(max(-oldest, 0), min(k, columns - oldest)):
            band[(t + k - 1) * k + j] = weight[t * columns + oldest + j]


@kernel
def _gather(totals_at, weight_at, bias_at, like, tables, rows, columns, k):
    """Add up tables of bias and taps ``[tables, rows, 1 + k]`` to the gradients of the matrix and the bias."""
    totals, weight = row(totals_at, tables * rows * (1 + k), like), row(weight_at, rows * columns, like)
    bias = row(bias_at, rows, like)
    for table in range(tables):
        for t in range(rows):
            at, oldest = (table * rows + t) * (1 + k), t + columns - rows - k + 1
            bias[t] += totals[at]
            for j in range(max(-oldest, 0), min(k, columns - oldest)):
                weight[t * columns + oldest + j] += totals[at + 1 + j]


@inline
def _read(x, panel, n, ahead, begin, end, k, neurons, group):
    """Copy inputs `begin` to `end`, zeros before the first; ask for those of the next tile."""
    step = BYTES // x.itemsize
    at = 0
    for _ in range(begin, min(end, 0)):
        store(panel, at, full(0.0, whole(x)), whole(x))
        at += step
    for i in range(max(begin, 0), end):
        store(panel, at, load(x, i * neurons + n, group), whole(x))
        at += step
    for _ in range(begin + k - 1, end):
        prefetch(x, ahead, group)
        ahead += step


@inline
def _mixed(band, at, along, stride, values, begin, count, sums):
    """Sums_r + sum_j f_{r j} * values_{j + r}, in the order of j, for r = 0 to 3, with f at `at` + j * along + r * stride."""
    step = BYTES // values.itemsize
    seen = sums
    for r in range(AT_ONCE - 1):
        seen = pushed(seen, load(values, begin + r * step, whole(values)))
    for j in range(count):
        seen = pushed(seen, load(values, begin + (j + AT_ONCE - 1) * step, whole(values)))
        sums = axpys(load_numbers(band, at, stride, sums), seen, sums)
        at += along
    return sums


@inline
def _charge(band, bias, inputs, charges, first, last, rows, k):
    """Bias and products of steps `first` to `last`; the last of four sums may be of no step, and nobody reads them."""
    step, group = BYTES // inputs.itemsize, whole(inputs)
    for t in range(first, last, AT_ONCE):
        b0, b1 = bias[t], bias[min(t + 1, rows - 1)]
        b2, b3 = bias[min(t + 2, rows - 1)], bias[min(t + 3, rows - 1)]
        sums = (full(b0, group), full(b1, group), full(b2, group), full(b3, group))
        at = (t - first) * step
        sums = _mixed(band, (t + k - 1) * k, 1, k, inputs, at, k, sums)
        store_rows(charges, at, step, sums, group)


@inline
def _forward_tile(
    x, band, bias, out, membranes, inputs, charges, n, ahead, first, last, newest, neurons, rows, k, kind, level, keep,
    past_cache, group,
):  # fmt: skip
    step = BYTES // x.itemsize
    _read(x, inputs, n, ahead, first + newest - (k - 1), last + newest, k, neurons, group)
    _charge(band, bias, inputs, charges, first, last, rows, k)
    for t in range(first, last):
        h = load(charges, (t - first) * step, whole(out))
        put(out, t * neurons + n, fire(h, kind, level), past_cache, group)
        if keep:
            put(membranes, t * neurons + n, h, past_cache, group)


@kernel
def _forward(
    x_at, band_at, bias_at, out_at, membranes_at, like,
    low, high, neurons, rows_in, rows, k, block, tile, kind, level, keep, past_cache,
):  # fmt: skip
    x, band = row(x_at, rows_in * neurons, like), row(band_at, (rows + 2 * (k + AT_ONCE)) * k, like)
    bias, out = row(bias_at, rows, like), row(out_at, rows * neurons, like)
    membranes = row(membranes_at, rows * neurons if keep else 0, like)
    step, tile, newest = BYTES // x.itemsize, max(min(tile, rows), 1), rows_in - rows
    inputs, charges = scratch((tile + k + AT_ONCE) * step, x), scratch((tile + AT_ONCE) * step, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for first in range(0, rows, tile):
            last = min(first + tile, rows)
            following = (last + newest) * neurons + start if last < rows else newest * neurons + stop
            ahead, asked = following, 0
            for n in range(start, stop, step):
                if stop - n >= step:
                    _forward_tile(
                        x, band, bias, out, membranes, inputs, charges, n, ahead, first, last, newest, neurons, rows, k, kind,
                        level, keep, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        x, band, bias, out, membranes, inputs, charges, n, ahead, first, last, newest, neurons, rows, k, kind,
                        level, keep, past_cache, part(x, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
    release(inputs)
    release(charges)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, order: int, kind: int, numbers: list[float], keep: bool
) -> tuple[Tensor, Tensor]:
    """The output ``[T_out, N]`` and, if `keep`, what was fired."""
    (rows, rows_in), neurons = weight.shape, x.shape[1]
    inputs, (k, band) = in_compute_dtype(x), _band(weight, order)
    out = empty((rows, neurons), x)
    membranes = empty((rows, neurons) if keep else (0,), x)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, band, bias, out, membranes))
    cut, past_cache = tiling(neurons, k, out.itemsize), is_past_cache(neurons, out, membranes)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(out), low, high, neurons, rows_in, rows, k, *cut, static(kind), numbers[0], keep,
            past_cache,
        )  # fmt: skip

    grain = BYTES // out.itemsize
    spread(run, neurons, grain, parts(neurons, rows * max(k // AT_ONCE, 1), grain))
    return out.to(x.dtype), membranes


def _band(weight: Tensor, order: int) -> tuple[int, Tensor]:
    """Taps of a row, at least one, and the table of them."""
    rows, columns = weight.shape
    k = max(min(order, columns), 1)
    band = weight.new_zeros((rows + 2 * (k + AT_ONCE)) * k)
    _tabulate(weight.data_ptr(), band.data_ptr(), number_like(weight), rows, columns, k)
    return k, band


@inline
def _backward_tile(
    grad, x, band, membranes, grad_x, inputs, of_charge, panel, carried, sums, n, slot, ahead, first, last, newest, neurons,
    rows, k, kind, level, a, b, c, past_cache, group,
):  # fmt: skip
    step, size = BYTES // x.itemsize, last - first
    _read(x, inputs, n, ahead, first + newest - (k - 1), last + newest, k, neurons, group)
    for t in range(size):
        here = (first + t) * neurons + n
        g = through(load(grad, here, group), load(membranes, here, group), kind, level, a, b, c)
        prefetch(grad, ahead - newest * neurons + t * step, group)
        prefetch(membranes, ahead - newest * neurons + t * step, group)
        store(of_charge, t * step, g, whole(x))
        at = t * (1 + k) * step
        store(sums, at, load(sums, at, whole(x)) + g, whole(x))
        for j in range(k):
            at += step
            store(sums, at, fma(g, load(inputs, (t + j) * step, whole(x)), load(sums, at, whole(x))), whole(x))
    onward(of_charge, carried, slot, size, k, last == rows, first == 0 and newest == 0)
    _spread_back(band, of_charge, panel, first, size, k)
    for t in range(max(-newest - first, 0), size):
        put(grad_x, (first + newest + t) * neurons + n, load(panel, t * step, whole(x)), past_cache, group)


@inline
def _spread_back(band, of_charge, panel, first, size, k):
    """The gradients of the `size` inputs that steps from `first` on see last: tap times gradient of the steps that see them."""
    step = BYTES // panel.itemsize
    zero = full(0.0, whole(panel))
    for r in range(0, size, AT_ONCE):
        at = (first + r + k - 1) * k + k - 1
        sums = _mixed(band, at, k - 1, k, of_charge, r * step, k, (zero, zero, zero, zero))
        store_rows(panel, r * step, step, sums, whole(panel))


@inline
def _fold(sums, totals, first, last, k):
    """Add the lanes of each sum of a tile to its total, and begin again."""
    step = BYTES // sums.itemsize
    for each in range((last - first) * (1 + k)):
        s0, s1, s2, s3 = sums[each * step], sums[each * step + 1], sums[each * step + 2], sums[each * step + 3]
        for lane in range(each * step + AT_ONCE, (each + 1) * step, AT_ONCE):
            s0 += sums[lane]
            s1 += sums[lane + 1]
            s2 += sums[lane + 2]
            s3 += sums[lane + 3]
        totals[first * (1 + k) + each] += (s0 + s1) + (s2 + s3)
        store(sums, each * step, full(0.0, whole(sums)), whole(sums))


@kernel
def _backward(
    grad_at, x_at, band_at, membranes_at, grad_x_at, totals_at, like,
    low, high, neurons, rows_in, rows, k, block, tile, kind, level, a, b, c, past_cache,
):  # fmt: skip
    grad, x = row(grad_at, rows * neurons, like), row(x_at, rows_in * neurons, like)
    band, membranes = row(band_at, (rows + 2 * (k + AT_ONCE)) * k, like), row(membranes_at, rows * neurons, like)
    grad_x, totals = row(grad_x_at, rows_in * neurons, like), row(totals_at, rows * (1 + k), like)
    step, tile, newest = BYTES // x.itemsize, max(min(tile, rows), 1), rows_in - rows
    longest = (max(tile, k) + k + AT_ONCE) * step
    inputs, of_charge, panel = scratch(longest, x), scratch(longest, x), scratch(longest, x)
    carried, sums = scratch(block * (k - 1), x), scratch(tile * (1 + k) * step, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for last in range(rows, 0, -tile):
            first = max(last - tile, 0)
            following = (
                (max(first - tile, 0) + newest) * neurons + start
                if first > 0
                else (max(rows - tile, 0) + newest) * neurons + stop
            )
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = (n - start) * (k - 1)
                if stop - n >= step:
                    _backward_tile(
                        grad, x, band, membranes, grad_x, inputs, of_charge, panel, carried, sums, n, slot, ahead, first, last,
                        newest, neurons, rows, k, kind, level, a, b, c, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        grad, x, band, membranes, grad_x, inputs, of_charge, panel, carried, sums, n, slot, ahead, first, last,
                        newest, neurons, rows, k, kind, level, a, b, c, past_cache, part(x, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
            _fold(sums, totals, first, last, k)
        # Inputs before the first that a step sees last: only the oldest taps of the first steps saw them.
        for n in range(start, stop if newest > 0 else start, step):
            group = part(x, stop - n)
            for each in range(k - 1):
                store(of_charge, each * step, full(0.0, whole(x)), whole(x))
                later = load(carried, (n - start) * (k - 1) + each * step, whole(x))
                store(of_charge, (k - 1 + each) * step, later, whole(x))
            _spread_back(band, of_charge, panel, 1 - k, k - 1, k)
            for each in range(max(k - 1 - newest, 0), k - 1):
                at = (newest - (k - 1) + each) * neurons + n
                store(grad_x, at, load(panel, each * step, whole(x)), group)
    release(inputs)
    release(of_charge)
    release(panel)
    release(carried)
    release(sums)


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, membranes: Tensor, order: int, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    (rows, rows_in), neurons = weight.shape, x.shape[1]
    inputs, of_y, (k, band) = in_compute_dtype(x), grad.to(weight.dtype), _band(weight, order)
    unseen = max(rows_in - rows - (k - 1), 0)
    grad_x = torch.empty_like(inputs)
    grad_x[:unseen] = 0.0
    of_weight, of_bias = torch.zeros_like(weight), weight.new_zeros(rows)
    grain = BYTES // inputs.itemsize
    count = parts(neurons, rows * max(k // AT_ONCE, 1), grain)
    totals = weight.new_zeros(count, rows * (1 + k))
    addresses = tuple(tensor.data_ptr() for tensor in (of_y, inputs, band, membranes, grad_x))
    cut, past_cache = tiling(neurons, k, inputs.itemsize), is_past_cache(neurons, grad_x)

    def run(part: int, low: int, high: int) -> None:
        _backward(
            *addresses, totals[part].data_ptr(), number_like(inputs), low, high, neurons, rows_in, rows, k, *cut,
            static(kind), *numbers, past_cache,
        )  # fmt: skip

    spread(run, neurons, grain, count)
    like = number_like(inputs)
    _gather(totals.data_ptr(), of_weight.data_ptr(), of_bias.data_ptr(), like, count, rows, rows_in, k)
    return grad_x.to(x.dtype), of_weight, of_bias
