"""Causal convolution over time and firing, vector by vector of neurons; sums run over the taps, oldest first."""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import Channels, array, empty
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
def _backward_group(
    grad, x, window, table, charge, grad_x, grad_window, sums, n, slot, column, steps, neurons, period, block, tile,
    k, dilation, kind, level, a, b, c, group,
):  # fmt: skip
    _of_charge_tile(
        grad, x, window, table, charge, sums, n, slot, column, 0, steps, neurons, period, block, k, dilation,
        kind, level, a, b, c, group,
    )  # fmt: skip
    for time in range(steps):
        g = _of_input(charge, table, time, n, column, steps, neurons, period, k, dilation, group)
        store(grad_x, time * neurons + n, g, group)
    width = (k - 1) * dilation
    for row in range(width):
        g = _of_input(charge, table, row - width, n, column, steps, neurons, period, k, dilation, group)
        store(grad_window, row * neurons + n, g, group)
