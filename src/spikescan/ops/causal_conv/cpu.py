"""Causal convolution over time and firing, vector by vector of neurons; sums run over the taps, oldest first, then the bias."""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import Channels, in_compute_dtype, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    add_columns,
    fma,
    full,
    load,
    load_at,
    part,
    row,
    static,
    store,
    tabulate,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import tiling
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through
from spikescan.ops.stepping.link import Call


@inline
def _table(weight_at, bias_at, k, channels, space, period, like):
    """Rows of taps and a row of the bias over the columns of a period."""
    weight, bias = row(weight_at, channels * k, like), row(bias_at, channels, like)
    table = np.empty((k + 1) * period, weight.dtype)
    tabulate(table, 0, weight, k, channels, space, period, 1)
    tabulate(table, k, bias, 1, channels, space, period, 1)
    return table


@inline
def _charge(x, window, table, t, n, column, neurons, period, k, dilation, group):
    bias = load(table, k * period + column, group)
    h = full(0.0, bias)
    for i in range(k):
        time = t - (k - 1 - i) * dilation
        h = fma(load(table, i * period + column, group), load_at(x, window, time, neurons, n, group), h)
    return h + bias


@inline
def _forward_tile(
    x, window, table, out, n, column, first, last, neurons, period, k, dilation, kind, level, group
):  # fmt: skip
    for t in range(first, last):
        h = _charge(x, window, table, t, n, column, neurons, period, k, dilation, group)
        store(out, t * neurons + n, fire(h, kind, level), group)


@kernel
def _forward(
    x_at, weight_at, bias_at, window_at, out_at, like,
    low, high, steps, neurons, channels, space, period, block, tile, k, dilation, kind, level,
):  # fmt: skip
    x, out = row(x_at, steps * neurons, like), row(out_at, steps * neurons, like)
    window = row(window_at, (k - 1) * dilation * neurons, like)
    table = _table(weight_at, bias_at, k, channels, space, period, like)
    step = BYTES // x.itemsize
    for start in range(low, high, block):
        stop = min(start + block, high)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _forward_tile(
                        x, window, table, out, n, n % period, first, last, neurons, period, k, dilation, kind, level,
                        whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        x, window, table, out, n, n % period, first, last, neurons, period, k, dilation, kind, level,
                        part(x, stop - n),
                    )  # fmt: skip


@inline
def _of_charge_tile(
    grad, x, window, table, charge, sums, n, slot, column, first, last, neurons, period, block, k, dilation,
    kind, level, a, b, c, group,
):  # fmt: skip
    """The gradient of the charge, and what it adds to the taps and the bias."""
    for t in range(first, last):
        at = t * neurons + n
        h = _charge(x, window, table, t, n, column, neurons, period, k, dilation, group)
        g = through(load(grad, at, group), h, kind, level, a, b, c)
        store(charge, at, g, group)
        for i in range(k):
            time = t - (k - 1 - i) * dilation
            so_far = load(sums, i * block + slot, group)
            store(sums, i * block + slot, fma(g, load_at(x, window, time, neurons, n, group), so_far), group)
        store(sums, k * block + slot, load(sums, k * block + slot, group) + g, group)


@inline
def _of_input(charge, table, time, n, column, steps, neurons, period, k, dilation, group):
    """The gradient of the input at `time`: every tap carried it to a later step."""
    g = full(0.0, load(table, column, group))
    for i in range(k):
        t = time + (k - 1 - i) * dilation
        if 0 <= t < steps:
            g = fma(load(table, i * period + column, group), load(charge, t * neurons + n, group), g)
    return g


@inline
def _of_input_tile(
    charge, table, grad_x, grad_window, n, column, first, last, steps, neurons, period, k, dilation, group
):  # fmt: skip
    for time in range(first, last):
        g = _of_input(charge, table, time, n, column, steps, neurons, period, k, dilation, group)
        if time >= 0:
            store(grad_x, time * neurons + n, g, group)
        else:
            store(grad_window, grad_window.size + time * neurons + n, g, group)


@kernel
def _backward(
    grad_at, x_at, weight_at, bias_at, window_at, charge_at, grad_x_at, grad_window_at, totals_at, like,
    low, high, steps, neurons, channels, space, period, block, tile, k, dilation, kind, level, a, b, c,
):  # fmt: skip
    grad, x = row(grad_at, steps * neurons, like), row(x_at, steps * neurons, like)
    charge, grad_x = row(charge_at, steps * neurons, like), row(grad_x_at, steps * neurons, like)
    past = (k - 1) * dilation * neurons
    window, grad_window = row(window_at, past, like), row(grad_window_at, past, like)
    totals = row(totals_at, (k + 1) * period, like)
    table = _table(weight_at, bias_at, k, channels, space, period, like)
    step = BYTES // x.itemsize
    for start in range(low, high, block):
        stop = min(start + block, high)
        sums = np.zeros((k + 1) * block, x.dtype)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _of_charge_tile(
                        grad, x, window, table, charge, sums, n, n - start, n % period, first, last, neurons, period,
                        block, k, dilation, kind, level, a, b, c, whole(x),
                    )  # fmt: skip
                else:
                    _of_charge_tile(
                        grad, x, window, table, charge, sums, n, n - start, n % period, first, last, neurons, period,
                        block, k, dilation, kind, level, a, b, c, part(x, stop - n),
                    )  # fmt: skip
        for first in range(-(k - 1) * dilation, steps, tile):
            last = min(first + tile, steps)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _of_input_tile(
                        charge, table, grad_x, grad_window, n, n % period, first, last, steps, neurons, period,
                        k, dilation, whole(x),
                    )  # fmt: skip
                else:
                    _of_input_tile(
                        charge, table, grad_x, grad_window, n, n % period, first, last, steps, neurons, period,
                        k, dilation, part(x, stop - n),
                    )  # fmt: skip
        add_columns(totals, sums, k + 1, start, stop, period, block)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, window: Tensor, dilation: int, kind: int, numbers: list[float]
) -> Tensor:
    """As the reference's `forward`."""
    channels = Channels.of(x)
    inputs = in_compute_dtype(x)
    out = torch.empty_like(inputs)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, weight, bias, window, out))
    _, _, neurons, period = channels
    block, tile = tiling(neurons, out.itemsize)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(out), low, high, x.shape[0], neurons, channels.channels, channels.space, period,
            block, tile, weight.shape[1], dilation, static(kind), numbers[0],
        )  # fmt: skip

    grain = BYTES // out.itemsize
    spread(run, neurons, grain, parts(neurons, x.shape[0], grain))
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
    for each, arguments in calls_of_step(x_t, weight, bias, window, (y, following), kind, numbers):
        each(*arguments)
    return y, following


def calls_of_step(
    x_t: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    after: tuple[Tensor, Tensor],
    kind: int,
    numbers: list[float],
) -> list[Call]:
    """The kernels of `step` that write output and window `after` it; the window may be written in place."""
    y, following = after
    here, past = x_t.data_ptr(), window.data_ptr()
    neurons, rows, like, constants = _constants_of_step(x_t.shape, weight.shape[1], x_t.dtype, kind)
    convolve = (
        _forward,
        (here, weight.data_ptr(), bias.data_ptr(), past, y.data_ptr(), *constants, numbers[0]),
    )
    if not rows:
        return [convolve]
    return [convolve, (shift, (here, past, following.data_ptr(), like, neurons, rows))]


@functools.lru_cache(maxsize=256)
def _constants_of_step(shape: torch.Size, k: int, dtype: torch.dtype, kind: int) -> tuple[Any, ...]:
    """What calls of `step` have in common: neurons, rows of the window, the type, and arguments of `_forward`."""
    like = number_like(torch.empty(0, dtype=dtype))
    batch, channels, *space = shape
    layout = Channels.of(torch.empty(1, batch, channels, math.prod(space), dtype=dtype, device="meta"))
    neurons, one_step, block, tile, dilation = layout.neurons, 1, 1024, 1, 1
    arguments = (
        like, 0, neurons, one_step, neurons, channels, layout.space, layout.period, block, tile, k, dilation, static(kind)
    )  # fmt: skip
    return neurons, k - 1, like, arguments


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
    channels = Channels.of(x)
    inputs = in_compute_dtype(x)
    k = weight.shape[1]
    _, _, neurons, period = channels
    grain = BYTES // inputs.itemsize
    charge, grad_x, grad_window = torch.empty_like(inputs), torch.empty_like(inputs), torch.empty_like(window)
    count = parts(neurons, x.shape[0], grain)
    totals = weight.new_zeros(count, k + 1, period)
    tensors = (grad.to(inputs.dtype), inputs, weight, bias, window, charge, grad_x, grad_window)
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    block, tile = tiling(neurons, inputs.itemsize)

    def run(part: int, low: int, high: int) -> None:
        _backward(
            *addresses, totals[part].data_ptr(), number_like(inputs), low, high, x.shape[0], neurons,
            channels.channels, channels.space, period, block, tile, k, dilation, static(kind), *numbers,
        )  # fmt: skip

    spread(run, neurons, grain, count)
    parameters = channels.gather(totals)
    return grad_x.to(x.dtype), parameters[:-1].t().contiguous(), parameters[-1].clone(), grad_window
