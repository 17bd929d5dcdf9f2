"""Causal convolution over time and firing, vector by vector of neurons; sums run over the taps, oldest first."""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import Array, Channels, array, empty
from spikescan.ops._simd import BYTES, add_columns, fma, full, inline, kernel, load, part, store, whole
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import tiling
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through


@inline
def _input(x, window, time, neurons, n, group):
    """The input at `time`; before 0 it stands in the window, which ends at time -1."""
    if time >= 0:
        return load(x, time * neurons + n, group)
    return load(window, window.size + time * neurons + n, group)


@inline
def _charge(x, window, table, t, n, column, neurons, period, k, dilation, group):
    h = load(table, k * period + column, group)
    for i in range(k):
        time = t - (k - 1 - i) * dilation
        h = fma(load(table, i * period + column, group), _input(x, window, time, neurons, n, group), h)
    return h


@inline
def _forward_tile(
    x, window, table, out, n, column, first, last, neurons, period, k, dilation, kind, level, group
):  # fmt: skip
    for t in range(first, last):
        h = _charge(x, window, table, t, n, column, neurons, period, k, dilation, group)
        store(out, t * neurons + n, fire(h, kind, level), group)


@kernel
def _forward(
    x, window, table, out, low, high, steps, neurons, period, block, tile, k, dilation, kind, level
):  # fmt: skip
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
            store(sums, i * block + slot, fma(g, _input(x, window, time, neurons, n, group), so_far), group)
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
    grad, x, window, table, charge, grad_x, grad_window, totals, low, high, steps, neurons, period, block, tile,
    k, dilation, kind, level, a, b, c,
):  # fmt: skip
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


def _table(weight: Tensor, bias: Tensor, channels: Channels) -> Array:
    return channels.spread(torch.cat([weight.detach().t(), bias.detach().unsqueeze(0)]))


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, window: Tensor, dilation: int, kind: int, numbers: list[float]
) -> Tensor:
    """As the reference's `forward`."""
    channels = Channels.of(x)
    out = empty(x.shape, x)
    arrays = (array(x), array(window), _table(weight, bias, channels), array(out))
    block, tile = tiling(channels.neurons, out.itemsize)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *arrays, low, high, x.shape[0], channels.neurons, channels.period, block, tile,
            weight.shape[1], dilation, kind, numbers[0],
        )  # fmt: skip

    spread(run, channels.neurons, x.shape[0], BYTES // out.itemsize)
    return out.to(x.dtype)


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
    charge, grad_x, grad_window = empty(x.shape, x), empty(x.shape, x), empty(window.shape, x)
    arrays = (array(grad), array(x), array(window), _table(weight, bias, channels))
    targets = (array(charge), array(grad_x), array(grad_window))
    block, tile = tiling(channels.neurons, charge.itemsize)
    grain = BYTES // charge.itemsize
    rows = weight.shape[1] + 1
    totals = np.zeros((parts(channels.neurons, x.shape[0], grain), rows * channels.period), arrays[0].dtype)

    def run(part: int, low: int, high: int) -> None:
        _backward(
            *arrays, *targets, totals[part], low, high, x.shape[0], channels.neurons, channels.period, block, tile,
            weight.shape[1], dilation, kind, *numbers,
        )  # fmt: skip

    spread(run, channels.neurons, x.shape[0], grain)
    parameters = channels.gather(totals, rows)
    return grad_x.to(x.dtype), parameters[:-1].t().contiguous(), parameters[-1].clone(), grad_window
