"""Causal convolution over time and firing, vector by vector of neurons; sums run over the taps, oldest first, then the bias.

A filter with dilation d is d filters without, each on every d-th step: a sequence [T, B] read as [T / d, d B].
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikescan.ops._arrays import Columns, number_like
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops._compile import inline, kernel
from spikescan.ops._filters import (
    AT_ONCE,
    column_of,
    filtered,
    next_column,
    onward,
    read,
    rows_of,
    spread_back,
    sum_of_taps,
    table_of,
    tabulated,
    tapped,
    total,
    window_back,
)
from spikescan.ops._simd import (
    BYTES,
    full,
    load,
    part,
    prefetch,
    put,
    release,
    row,
    scratch,
    static,
    store,
    upcoming,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache, tiling
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through
from spikescan.ops.stepping.link import Call


@inline
def _fire(charges, bias, out, n, first, last, neurons, kind, level, past_cache, group):
    step = BYTES // out.itemsize
    for time in range(first, last):
        h = load(charges, (time - first) * step, whole(out)) + bias
        put(out, time * neurons + n, fire(h, kind, level), past_cache, group)


@inline
def _forward_tile(
    x, window, table, inputs, charges, out, n, base, ahead, first, last, neurons, k, kind, level, past_cache, group
):  # fmt: skip
    read(x, window, inputs, n, ahead, first, last, k, neurons, group)
    filtered(table, base, full(0.0, whole(x)), inputs, charges, last - first, k)
    _fire(charges, load(table, base, whole(x)), out, n, first, last, neurons, kind, level, past_cache, group)


@kernel
def _forward(
    x_at, weight_at, bias_at, window_at, out_at, like,
    low, high, steps, window_rows, neurons, channels, space, width, columns, block, tile, k, rows, kind, level, past_cache,
):  # fmt: skip
    x, out = row(x_at, steps * neurons, like), row(out_at, steps * neurons, like)
    window = row(window_at, window_rows * neurons, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    table = table_of(weight_at, bias_at, k, rows, channels, space, columns, 1, like)
    inputs, charges = scratch((tile + k + AT_ONCE) * step, x), scratch((tile + AT_ONCE) * step, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            following = last * neurons + start if last < steps else stop
            base, used = column_of(start, step, width, columns, rows), start % width
            ahead, asked = following, 0
            for n in range(start, stop, step):
                if stop - n >= step:
                    _forward_tile(
                        x, window, table, inputs, charges, out, n, base, ahead, first, last, neurons, k, kind, level,
                        past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        x, window, table, inputs, charges, out, n, base, ahead, first, last, neurons, k, kind, level,
                        past_cache, part(x, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
                base, used = next_column(base, used, step, width, columns, rows)
    release(table)
    release(inputs)
    release(charges)


@inline
def _of_charge(
    grad, charges, bias, of_charge, totals, base, n, ahead, first, last, neurons, kind, level, a, b, c, group
):  # fmt: skip
    """The gradient of the charge, summed for the bias."""
    step = BYTES // grad.itemsize
    at, total = 0, load(totals, base, whole(grad))
    for time in range(first, last):
        h = load(charges, at, whole(grad)) + bias
        g = through(load(grad, time * neurons + n, group), h, kind, level, a, b, c)
        prefetch(grad, ahead, group)
        store(of_charge, at, g, whole(grad))
        total = total + g
        at += step
        ahead += step
    store(totals, base, total, whole(grad))


@inline
def _backward_tile(
    grad, x, window, table, inputs, of_charge, panel, carried, grad_x, totals, n, slot, base, ahead, first, last, steps,
    neurons, k, kind, level, a, b, c, past_cache, group,
):  # fmt: skip
    size = last - first
    read(x, window, inputs, n, ahead, first, last, k, neurons, group)
    filtered(table, base, full(0.0, whole(x)), inputs, panel, size, k)
    _of_charge(
        grad, panel, load(table, base, whole(x)), of_charge, totals, base, n, ahead, first, last, neurons, kind, level,
        a, b, c, group,
    )  # fmt: skip
    onward(of_charge, carried, slot, size, k, last == steps, first == 0 and window.size == 0)
    spread_back(table, base, of_charge, panel, False, grad_x, n, first, last, neurons, k, past_cache, group)
    sum_of_taps(of_charge, inputs, totals, base, size, k)


@kernel
def _backward(
    grad_at, x_at, weight_at, bias_at, window_at, grad_x_at, grad_window_at, totals_at, like,
    low, high, steps, window_rows, neurons, channels, space, width, columns, block, tile, k, rows,
    kind, level, a, b, c, past_cache,
):  # fmt: skip
    grad, x = row(grad_at, steps * neurons, like), row(x_at, steps * neurons, like)
    grad_x, totals = row(grad_x_at, steps * neurons, like), row(totals_at, columns * rows, like)
    window, grad_window = row(window_at, window_rows * neurons, like), row(grad_window_at, window_rows * neurons, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    table = table_of(weight_at, bias_at, k, rows, channels, space, columns, 1, like)
    longest = (max(tile, k) + k + AT_ONCE) * step
    inputs, of_charge, panel = scratch(longest, x), scratch(longest, x), scratch(longest, x)
    carried = scratch(block * (k - 1), x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for last in range(steps, 0, -tile):
            first = max(last - tile, 0)
            following = max(first - tile, 0) * neurons + start if first > 0 else max(steps - tile, 0) * neurons + stop
            base, used = column_of(start, step, width, columns, rows), start % width
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = (n - start) * (k - 1)
                if stop - n >= step:
                    _backward_tile(
                        grad, x, window, table, inputs, of_charge, panel, carried, grad_x, totals, n, slot, base, ahead,
                        first, last, steps, neurons, k, kind, level, a, b, c, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        grad, x, window, table, inputs, of_charge, panel, carried, grad_x, totals, n, slot, base, ahead,
                        first, last, steps, neurons, k, kind, level, a, b, c, past_cache, part(x, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
                base, used = next_column(base, used, step, width, columns, rows)
        for n in range(start, stop if window_rows else start, step):
            slot, base, group = (n - start) * (k - 1), column_of(n, step, width, columns, rows), part(x, stop - n)
            window_back(table, base, of_charge, panel, carried, slot, grad_window, n, k, neurons, group)
    release(table)
    release(inputs)
    release(of_charge)
    release(panel)
    release(carried)


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


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, window: Tensor, dilation: int, kind: int, numbers: list[float]
) -> Tensor:
    """As the reference's `forward`; a window without rows is zeros, a weight and bias of one row belong to all channels."""
    inputs = in_compute_dtype(x)
    out = torch.empty_like(inputs)
    k, size, grain = weight.shape[1], out.itemsize, BYTES // out.itemsize
    neurons = x.shape[1:].numel()
    cut, past_cache = tiling(neurons, k, size), is_past_cache(neurons, out)

    def over(strand: _Strand) -> None:
        of_x, of_window, of_out = (each.data_ptr() + strand.first * size for each in (inputs, window, out))
        addresses = (of_x, weight.data_ptr(), bias.data_ptr(), of_window, of_out)

        def run(_: int, low: int, high: int) -> None:
            _forward(
                *addresses, number_like(out), low, high, strand.steps, window.shape[0] // dilation, dilation * neurons,
                *strand.layout[1:], *cut, k, rows_of(k), static(kind), numbers[0], past_cache,
            )  # fmt: skip

        spread(run, strand.layout.neurons, grain, parts(strand.layout.neurons, strand.steps, grain))

    for strand in _strands(x, weight, dilation):
        over(strand)
    return out.to(x.dtype)


def step(
    x_t: Tensor, weight: Tensor, bias: Tensor, window: Tensor, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor]:
    """Output and window after one step; nothing here but what a single step needs.

    x_t ``[B, C, *]`` contiguous, window ``[B, k - 1, C, *]`` stored time first.
    """
    y, following = torch.empty_like(x_t), torch.empty_like(window)
    _step(
        weight.data_ptr(), bias.data_ptr(), 0, x_t.data_ptr(), window.data_ptr(), y.data_ptr(), following.data_ptr(),
        *_constants_of_step(x_t.shape, weight.shape, weight.dtype, kind), numbers[0],
    )  # fmt: skip
    return y, following


@kernel
def _step(
    weight_at, bias_at, table_at, x_at, window_at, y_at, following_at, like,
    neurons, channels, space, width, columns, k, rows, kind, level,
):  # fmt: skip
    x, y = row(x_at, neurons, like), row(y_at, neurons, like)
    window, following = row(window_at, (k - 1) * neurons, like), row(following_at, (k - 1) * neurons, like)
    if table_at:
        table = row(table_at, columns * rows, like)
    else:
        table = table_of(weight_at, bias_at, k, rows, channels, space, columns, 1, like)
    step = BYTES // x.itemsize
    for n in range(0, neurons, step):
        base = column_of(n, step, width, columns, rows)
        if neurons - n >= step:
            _advance(x, table, window, y, following, n, base, neurons, k, kind, level, whole(x))
        else:
            _advance(x, table, window, y, following, n, base, neurons, k, kind, level, part(x, neurons - n))
    if not table_at:
        release(table)


@inline
def _advance(x, table, window, y, following, n, base, neurons, k, kind, level, group):
    charge, _ = tapped(table, base, full(0.0, whole(x)), x, window, following, n, neurons, k, group)
    store(y, n, fire(charge + load(table, base, whole(x)), kind, level), group)


def table_of_step(weight: Tensor, bias: Tensor, x_t: Tensor) -> Tensor:
    """The taps as `call_of_step` takes them."""
    _, layout = _layout_of_step(x_t.shape, weight.shape, weight.dtype)
    return tabulated(weight, bias, layout, 1.0)


def call_of_step(
    x_t: Tensor,
    table: Tensor,
    of_weight: torch.Size,
    window: Tensor,
    after: tuple[Tensor, Tensor],
    kind: int,
    numbers: list[float],
) -> Call:
    """The kernel of `step` that writes output and window `after` it, for a weight of this shape; the window may be in place."""
    y, following = after
    return _step, (
        0, 0, table.data_ptr(), x_t.data_ptr(), window.data_ptr(), y.data_ptr(), following.data_ptr(),
        *_constants_of_step(x_t.shape, of_weight, table.dtype, kind), numbers[0],
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _constants_of_step(shape: torch.Size, of_weight: torch.Size, dtype: torch.dtype, kind: int) -> tuple[Any, ...]:
    """What calls of `step` have in common."""
    like, layout = _layout_of_step(shape, of_weight, dtype)
    k = of_weight[1]
    return like, *layout, k, rows_of(k), static(kind)


def _layout_of_step(shape: torch.Size, of_weight: torch.Size, dtype: torch.dtype) -> tuple[Any, Columns]:
    like, shared = number_like(torch.empty(0, dtype=dtype)), of_weight[0] == 1
    sizes = (shape.numel(), 1, 1) if shared else (shape[0], shape[1], shape[2:].numel())
    return like, Columns.of(sizes, like.itemsize)


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
    rows, neurons = rows_of(k), x.shape[1:].numel()
    cut, past_cache = tiling(neurons, k, size), is_past_cache(neurons, grad_x)

    of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)

    def over(strand: _Strand) -> None:
        of_grad, of_x, *rest = (
            each.data_ptr() + strand.first * size for each in (of_y, inputs, window, grad_x, grad_window)
        )
        addresses = (of_grad, of_x, weight.data_ptr(), bias.data_ptr(), *rest)
        like, layout = number_like(inputs), strand.layout
        count = parts(layout.neurons, strand.steps, grain)
        totals = weight.new_zeros(count, layout.columns * rows)

        def run(part: int, low: int, high: int) -> None:
            _backward(
                *addresses, totals[part].data_ptr(), like, low, high, strand.steps, window.shape[0] // dilation,
                dilation * neurons, *layout[1:], *cut, k, rows, static(kind), *numbers, past_cache,
            )  # fmt: skip

        spread(run, layout.neurons, grain, count)
        total(
            totals.data_ptr(), of_weight.data_ptr(), of_bias.data_ptr(), like, count, k, rows, layout.channels, layout.space,
            layout.columns, 1.0,
        )  # fmt: skip

    for strand in _strands(x, weight, dilation):
        over(strand)
    return grad_x.to(x.dtype), of_weight, of_bias, grad_window
