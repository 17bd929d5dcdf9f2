"""Causal convolution over time and firing, vector by vector of neurons; sums run over the taps, oldest first, then the bias.

The output, the gradient of the input and that of the taps are one sum, sum_j a_j * b_{j + r}, of different a and b. What it
runs over is copied to panels first: a vector of neurons at some steps, side by side. Four sums run at a time, so that each
vector that is loaded serves all four, and a filter of any order runs through the same kernel.

A filter with dilation d is d filters without, each on every d-th step: a sequence [T, B] read as [T / d, d B].
"""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikescan.ops._arrays import Columns, in_compute_dtype, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    add_rows,
    aligned,
    axpy,
    full,
    load,
    load_at,
    part,
    prefetch,
    pushed,
    put,
    row,
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

AT_ONCE = 4
"""Sums that run at a time."""


@inline
def _correlated(factors, at, stride, values, start, count, like):
    """The sums over j of factors_j * values_{j + r}, in the order of j, for r = 0 to 3; factors lie `stride` apart."""
    step = BYTES // values.itemsize
    zero = full(0.0, like)
    sums = (zero, zero, zero, zero)
    seen = sums
    for r in range(AT_ONCE - 1):
        seen = pushed(seen, load(values, start + r * step, like))
    for j in range(count):
        seen = pushed(seen, load(values, start + (j + AT_ONCE - 1) * step, like))
        sums = axpy(load(factors, at + j * stride, like), seen, sums)
    return sums


@inline
def _table(weight_at, bias_at, k, rows, channels, space, columns, like):
    """For each vector of columns its bias and then its taps, side by side."""
    weight, bias = row(weight_at, channels * k, like), row(bias_at, channels, like)
    table = aligned(columns * rows, weight)
    step = BYTES // weight.itemsize
    for column in range(columns):
        channel = column // space % channels
        at = column // step * rows * step + column % step
        table[at] = bias[channel]
        for each in range(k):
            table[at + (1 + each) * step] = weight[channel * k + each]
    return table


@inline
def _read(x, window, panel, n, ahead, first, last, k, neurons, group):
    """Copy the inputs that steps `first` to `last` see."""
    step = BYTES // x.itemsize
    at = 0
    for time in range(first - (k - 1), first):
        store(panel, at, load_at(x, window, time, neurons, n, group), whole(x))
        at += step
    for time in range(first, last):
        store(panel, at, load(x, time * neurons + n, group), whole(x))
        prefetch(x, ahead, group)
        at += step
        ahead += step


@inline
def _charge(table, base, inputs, charges, size, k):
    """The charge of `size` steps without the bias."""
    step = BYTES // inputs.itemsize
    for r in range(0, size, AT_ONCE):
        sums = _correlated(table, base + step, step, inputs, r * step, k, whole(inputs))
        store_rows(charges, r * step, step, sums, whole(inputs))


@inline
def _fire(charges, bias, out, n, first, last, neurons, kind, level, past_cache, group):
    step = BYTES // out.itemsize
    for time in range(first, last):
        h = load(charges, (time - first) * step, whole(out)) + bias
        put(out, time * neurons + n, fire(h, kind, level), past_cache, group)


@kernel
def _forward(
    x_at, weight_at, bias_at, window_at, out_at, like,
    low, high, steps, window_rows, neurons, channels, space, width, columns, block, tile, k, rows, kind, level, past_cache,
):  # fmt: skip
    x, out = row(x_at, steps * neurons, like), row(out_at, steps * neurons, like)
    window = row(window_at, window_rows * neurons, like)
    table = _table(weight_at, bias_at, k, rows, channels, space, columns, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    inputs, charges = aligned((tile + k + AT_ONCE) * step, x), aligned((tile + AT_ONCE) * step, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            following = last * neurons + start if last < steps else stop
            for n in range(start, stop, step):
                base = n // width * step % columns * rows
                bias = load(table, base, whole(x))
                ahead = upcoming(n - start, stop - start, tile, step, neurons, following)
                if stop - n >= step:
                    _read(x, window, inputs, n, ahead, first, last, k, neurons, whole(x))
                    _charge(table, base, inputs, charges, last - first, k)
                    _fire(charges, bias, out, n, first, last, neurons, kind, level, past_cache, whole(x))
                else:
                    _read(x, window, inputs, n, ahead, first, last, k, neurons, part(x, stop - n))
                    _charge(table, base, inputs, charges, last - first, k)
                    _fire(charges, bias, out, n, first, last, neurons, kind, level, past_cache, part(x, stop - n))


@inline
def _of_charge(
    grad, charges, bias, of_charge, carried, slot, totals, base, n, ahead, first, last, k, neurons, kind, level, a, b, c,
    group,
):  # fmt: skip
    """The gradient of the charge: of steps `first` to `last`, and behind them of the k - 1 steps that came before."""
    step = BYTES // grad.itemsize
    at = 0
    total = load(totals, base, whole(grad))
    for time in range(first, last):
        h = load(charges, at, whole(grad)) + bias
        g = through(load(grad, time * neurons + n, group), h, kind, level, a, b, c)
        prefetch(grad, ahead, group)
        store(of_charge, at, g, whole(grad))
        total = total + g
        at += step
        ahead += step
    store(totals, base, total, whole(grad))
    for each in range(k - 1):
        store(of_charge, at, load(carried, slot + each * step, whole(grad)), whole(grad))
        at += step
    for each in range(k - 1):
        store(carried, slot + each * step, load(of_charge, each * step, whole(grad)), whole(grad))


@inline
def _of_inputs(table, base, of_charge, panel, size, k):
    """The gradient of the inputs of `size` steps: tap i carried each to the step k - 1 - i later."""
    step = BYTES // panel.itemsize
    for r in range(0, size, AT_ONCE):
        sums = _correlated(table, base + k * step, -step, of_charge, r * step, k, whole(panel))
        store_rows(panel, r * step, step, sums, whole(panel))


@inline
def _of_taps(of_charge, inputs, totals, base, size, k):
    step = BYTES // inputs.itemsize
    for i in range(0, k, AT_ONCE):
        sums = _correlated(of_charge, 0, step, inputs, i * step, size, whole(inputs))
        add_rows(totals, base + (1 + i) * step, step, sums, whole(inputs))


@inline
def _write(panel, out, n, first, last, neurons, past_cache, group):
    step = BYTES // out.itemsize
    for time in range(first, last):
        put(out, time * neurons + n, load(panel, (time - first) * step, whole(out)), past_cache, group)


@kernel
def _backward(
    grad_at, x_at, weight_at, bias_at, window_at, grad_x_at, grad_window_at, totals_at, like,
    low, high, steps, window_rows, neurons, channels, space, width, columns, block, tile, k, rows,
    kind, level, a, b, c, past_cache,
):  # fmt: skip
    grad, x, grad_x = (
        row(grad_at, steps * neurons, like), row(x_at, steps * neurons, like), row(grad_x_at, steps * neurons, like)
    )  # fmt: skip
    window, grad_window = row(window_at, window_rows * neurons, like), row(grad_window_at, window_rows * neurons, like)
    totals = row(totals_at, columns * rows, like)
    table = _table(weight_at, bias_at, k, rows, channels, space, columns, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    longest = max(tile, k) + k + AT_ONCE
    inputs, of_charge, panel = aligned(longest * step, x), aligned(longest * step, x), aligned(longest * step, x)
    carried = aligned((block // step + 1) * (k - 1) * step, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        carried[:] = 0.0
        for last in range(steps, 0, -tile):
            first = max(last - tile, 0)
            following = max(first - tile, 0) * neurons + start if first > 0 else max(steps - tile, 0) * neurons + stop
            for n in range(start, stop, step):
                base = n // width * step % columns * rows
                slot = (n - start) * (k - 1)
                bias = load(table, base, whole(x))
                ahead = upcoming(n - start, stop - start, tile, step, neurons, following)
                if stop - n >= step:
                    _read(x, window, inputs, n, ahead, first, last, k, neurons, whole(x))
                    _charge(table, base, inputs, panel, last - first, k)
                    _of_charge(
                        grad, panel, bias, of_charge, carried, slot, totals, base, n, ahead, first, last, k, neurons,
                        kind, level, a, b, c, whole(x),
                    )  # fmt: skip
                    _of_inputs(table, base, of_charge, panel, last - first, k)
                    _write(panel, grad_x, n, first, last, neurons, past_cache, whole(x))
                    _of_taps(of_charge, inputs, totals, base, last - first, k)
                else:
                    _read(x, window, inputs, n, ahead, first, last, k, neurons, part(x, stop - n))
                    _charge(table, base, inputs, panel, last - first, k)
                    _of_charge(
                        grad, panel, bias, of_charge, carried, slot, totals, base, n, ahead, first, last, k, neurons,
                        kind, level, a, b, c, part(x, stop - n),
                    )  # fmt: skip
                    _of_inputs(table, base, of_charge, panel, last - first, k)
                    _write(panel, grad_x, n, first, last, neurons, past_cache, part(x, stop - n))
                    _of_taps(of_charge, inputs, totals, base, last - first, k)
        if window_rows:
            for n in range(start, stop, step):
                base = n // width * step % columns * rows
                for each in range(k - 1):
                    store(of_charge, each * step, full(0.0, whole(x)), whole(x))
                    later = load(carried, ((n - start) // step * (k - 1) + each) * step, whole(x))
                    store(of_charge, (k - 1 + each) * step, later, whole(x))
                _of_inputs(table, base, of_charge, panel, k - 1, k)
                if stop - n >= step:
                    _write(panel, grad_window, n, 0, k - 1, neurons, False, whole(x))
                else:
                    _write(panel, grad_window, n, 0, k - 1, neurons, False, part(x, stop - n))


class _Strand(NamedTuple):
    """Steps that a dilated filter sees as neighbours, of the neurons from `first` on in a row of `dilation` steps."""

    first: int
    steps: int
    layout: Columns


def _strands(x: Tensor, weight: Tensor, dilation: int) -> Iterator[_Strand]:
    """The sequence `x` as strands; the first T % dilation of its steps begin longer ones."""
    time_steps, batch, channels, space = x.shape
    steps, longer = divmod(time_steps, dilation)
    for begin, end, length in ((0, longer, steps + 1), (longer, dilation, steps)):
        items = (end - begin) * batch
        if items * channels * space:
            shape = (items * channels * space, 1, 1) if weight.shape[0] == 1 else (items, channels, space)
            yield _Strand(begin * batch * channels * space, length, Columns.of(shape, weight.itemsize))


def _rows(k: int) -> int:
    """Vectors of a table of a bias and k taps, with room for `AT_ONCE` sums from each."""
    return 1 + -(-k // AT_ONCE) * AT_ONCE


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, window: Tensor, dilation: int, kind: int, numbers: list[float]
) -> Tensor:
    """As the reference's `forward`; a window without rows is zeros, a weight and bias of one row belong to all channels."""
    inputs = in_compute_dtype(x)
    out = torch.empty_like(inputs)
    k, size, grain = weight.shape[1], out.itemsize, BYTES // out.itemsize
    neurons = x.shape[1:].numel()
    cut, past_cache = tiling(neurons, size, in_order=True), is_past_cache(neurons, out)

    def over(strand: _Strand) -> None:
        of_x, of_window, of_out = (each.data_ptr() + strand.first * size for each in (inputs, window, out))
        addresses = (of_x, weight.data_ptr(), bias.data_ptr(), of_window, of_out)

        def run(_: int, low: int, high: int) -> None:
            _forward(
                *addresses, number_like(out), low, high, strand.steps, window.shape[0] // dilation, dilation * neurons,
                *strand.layout[1:], *cut, k, _rows(k), static(kind), numbers[0], past_cache,
            )  # fmt: skip

        spread(run, strand.layout.neurons, grain, parts(strand.layout.neurons, strand.steps, grain))

    for strand in _strands(x, weight, dilation):
        over(strand)
    return out.to(x.dtype)


@kernel
def shift(x_at, window_at, next_at, like, neurons, rows):
    """The window after one more step: the oldest row goes, the step's inputs come."""
    x, window, following = (
        row(x_at, neurons, like),
        row(window_at, rows * neurons, like),
        row(next_at, rows * neurons, like),
    )
    kept = (rows - 1) * neurons
    following[:kept] = window[neurons:]
    following[kept:] = x


def step(
    x_t: Tensor, weight: Tensor, bias: Tensor, window: Tensor, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor]:
    """Output and window after one step; nothing here but what a single step needs.

    x_t ``[B, C, *]`` contiguous, window ``[B, k - 1, C, *]`` stored time first.
    """
    y, following = torch.empty_like(x_t), torch.empty_like(window)
    here, past = x_t.data_ptr(), window.data_ptr()
    neurons, rows, like, constants = _constants_of_step(x_t.shape, weight.shape, x_t.dtype, kind)
    _forward(
        here, weight.data_ptr(), bias.data_ptr(), past, y.data_ptr(), like, 0, neurons, *constants, numbers[0], False
    )
    if rows:
        shift(here, past, following.data_ptr(), like, neurons, rows)
    return y, following


@functools.lru_cache(maxsize=256)
def _constants_of_step(shape: torch.Size, of_weight: torch.Size, dtype: torch.dtype, kind: int) -> tuple[Any, ...]:
    """What calls of `step` have in common: neurons, rows of the window, the type, and arguments of `_forward`."""
    rows, k = of_weight
    like = number_like(torch.empty(0, dtype=dtype))
    neurons = math.prod(shape)
    layout = Columns.of((neurons, 1, 1) if rows == 1 else (shape[0], shape[1], math.prod(shape[2:])), like.itemsize)
    one_step, block, tile = 1, 1024, 1
    return neurons, k - 1, like, (one_step, k - 1, *layout, block, tile, k, _rows(k), static(kind))


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    dilation: int,
    kind: int,
    numbers: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, bias and window."""
    inputs = in_compute_dtype(x)
    of_y = grad.to(inputs.dtype)
    grad_x, grad_window = torch.empty_like(inputs), torch.empty_like(window)
    k, size, grain = weight.shape[1], inputs.itemsize, BYTES // inputs.itemsize
    rows, neurons = _rows(k), x.shape[1:].numel()
    cut, past_cache = tiling(neurons, size, in_order=True), is_past_cache(neurons, grad_x)

    def over(strand: _Strand) -> Tensor:
        of_grad, of_x, *rest = (
            each.data_ptr() + strand.first * size for each in (of_y, inputs, window, grad_x, grad_window)
        )
        addresses = (of_grad, of_x, weight.data_ptr(), bias.data_ptr(), *rest)
        count = parts(strand.layout.neurons, strand.steps, grain)
        totals = weight.new_zeros(count, strand.layout.columns // grain, rows, grain)

        def run(part: int, low: int, high: int) -> None:
            _backward(
                *addresses, totals[part].data_ptr(), number_like(inputs), low, high, strand.steps,
                window.shape[0] // dilation, dilation * neurons, *strand.layout[1:], *cut, k, rows, static(kind), *numbers,
                past_cache,
            )  # fmt: skip

        spread(run, strand.layout.neurons, grain, count)
        return strand.layout.gather(totals.transpose(1, 2).flatten(2))

    sums = weight.new_zeros(rows, weight.shape[0])
    for strand in _strands(x, weight, dilation):
        sums += over(strand)
    return grad_x.to(x.dtype), sums[1 : k + 1].t().contiguous(), sums[0].clone(), grad_window
