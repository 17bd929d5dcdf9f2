"""The Dynamic Decay Spiking Neuron as two sweeps over time, each neuron in a lane of a vector.

A sweep takes a block of neurons at a time and walks it through time in tiles of a few steps. Within a tile a vector of
neurons keeps its membrane, its window and its taps in registers. Blocks are wide where there are many neurons, so that memory
is read in long runs; what a block carries from tile to tile stays in the cache. `docs/performance.md` has the measurements.

The table of taps and biases is multiplied by -log2(e): the gate then needs 2^a' and nothing else.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import Columns, empty, in_compute_dtype, limits_of, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    LOG2_E,
    Scalar,
    Vector,
    add_rows,
    axpy,
    backwards,
    choose,
    dot,
    exp2_of,
    fma,
    full,
    load,
    load_at,
    load_rows,
    log1p_unit,
    part,
    prefetch,
    pushed,
    put,
    row,
    select,
    split_exp2,
    static,
    store,
    store_rows,
    tabulate,
    traced,
    upcoming,
    whole,
    zeros,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache, tiling
from spikescan.ops.causal_conv.cpu import shift
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through
from spikescan.ops.stepping.link import Call

LN_2 = math.log(2.0)


@traced
def dynamic_gate(a, exponent, squarings):
    """(decay, 1 - decay, 1 - sigmoid) of a DSN from a' = -log2(e) a, without cancellation.

    decay = sigmoid(a)^exponent; `squarings` has as many items as squarings make that power, or is None if none do.
    """
    e = exp2_of(a)
    s = 1.0 / (e + 1.0)
    rest = e * s
    if squarings is None:
        return (*_general_power(a, exponent), rest)
    leak = rest
    for _ in squarings:
        leak = leak * (s + 1.0)
        s = s * s
    return s, leak, rest


def _general_power(a: Vector, exponent: Scalar) -> tuple[Vector, Vector]:
    """(sigmoid^exponent, 1 - sigmoid^exponent): log2 sigmoid = -(max(a', 0) + log2(1 + 2^-|a'|))."""
    positive = choose(a > 0.0, a, 0.0)
    softplus = log1p_unit(exp2_of(a.llvm("fabs") * -1.0)).llvm("fma", LOG2_E, positive)
    power, fraction = split_exp2(softplus * (-exponent))
    return power.llvm("fma", fraction, power), (1.0 - power) - power * fraction


@inline
def _table(weight_at, bias_at, k, channels, space, columns, like):
    """Rows of taps and a row of the bias over the columns, times -log2(e)."""
    weight, bias = row(weight_at, channels * k, like), row(bias_at, channels, like)
    table = np.empty((k + 1) * columns, weight.dtype)
    scale = weight.dtype.type(-LOG2_E)
    tabulate(table, 0, weight, k, channels, space, columns, scale)
    tabulate(table, k, bias, 1, channels, space, columns, scale)
    return table


@inline
def _forward_tile(
    x, table, window, limits, spikes, membranes, carried,
    n, slot, column, ahead, first, last, neurons, columns, taps, exponent, squarings, kind, level, keep, past_cache, group,
):  # fmt: skip
    step = BYTES // x.itemsize
    weight = load_rows(table, column, columns, taps, group)
    bias = load(table, len(taps) * columns + column, group)
    h = load(carried, slot, group)
    masked = limits.size > 0
    limit = load(limits, n, group) if masked else h
    seen = weight
    for i in range(len(taps)):
        seen = pushed(seen, load_at(x, window, first - len(taps) + i, neurons, n, group))
    for t in range(first, last):
        at = t * neurons + n
        inputs = load(x, at, group)
        prefetch(x, ahead + (t - first) * step, group)
        seen = pushed(seen, inputs)
        decay, leak, _ = dynamic_gate(dot(weight, seen, bias), exponent, squarings)
        charged = fma(decay, h, leak * inputs)
        fired = fire(charged, kind, level)
        if masked:
            valid = limit > t
            charged = select(valid, charged, h)
            fired = select(valid, fired, full(0.0, h))
        h = charged
        put(spikes, at, fired, past_cache, group)
        if keep:
            put(membranes, at, h, past_cache, group)
    store(carried, slot, h, group)


@kernel
def _forward(
    x_at, weight_at, bias_at, membrane_at, window_at, limits_at, spikes_at, membranes_at, final_at, like,
    low, high, steps, window_rows, neurons, channels, space, width, columns, block, tile, taps, exponent, squarings,
    kind, level, keep, masked, past_cache,
):  # fmt: skip
    k = len(taps)
    x, spikes = row(x_at, steps * neurons, like), row(spikes_at, steps * neurons, like)
    membranes = row(membranes_at, steps * neurons if keep else 0, like)
    membrane, final = row(membrane_at, neurons, like), row(final_at, neurons, like)
    window, limits = row(window_at, window_rows * neurons, like), row(limits_at, neurons if masked else 0, like)
    table = _table(weight_at, bias_at, k, channels, space, columns, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    carried = np.empty(block, x.dtype)
    for start in range(low, high, block):
        stop = min(start + block, high)
        carried[: stop - start] = membrane[start:stop]
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            following = last * neurons + start if last < steps else stop
            for n in range(start, stop, step):
                slot, column = n - start, n // width * step % columns
                ahead = upcoming(slot, stop - start, tile, step, neurons, following)
                if stop - n >= step:
                    _forward_tile(
                        x, table, window, limits, spikes, membranes, carried, n, slot, column, ahead, first, last, neurons,
                        columns, taps, exponent, squarings, kind, level, keep, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        x, table, window, limits, spikes, membranes, carried, n, slot, column, ahead, first, last, neurons,
                        columns, taps, exponent, squarings, kind, level, keep, past_cache, part(x, stop - n),
                    )  # fmt: skip
        final[start:stop] = carried[: stop - start]


@inline
def _backward_tile(
    x, table, membrane, window, membranes, limits, grad_spikes, grad_x, carried, totals,
    n, slot, column, ahead, first, last, neurons, columns, block, taps, exponent, squarings,
    kind, level, a, b, c, past_cache, group,
):  # fmt: skip
    k, step = len(taps), BYTES // x.itemsize
    weight = load_rows(table, column, columns, taps, group)
    toward_past = backwards(weight)
    bias = load(table, k * columns + column, group)
    d = load(carried, slot, group)
    pending = load_rows(carried, block + slot, block, taps[1:], group)
    masked = limits.size > 0
    limit = load(limits, n, group) if masked else d
    zero = full(0.0, d)
    weight_sums, bias_sum = zeros(weight), zero
    unseen = weight  # the window, newest first
    for i in range(k):
        unseen = pushed(unseen, load_at(x, window, last - 1 - i, neurons, n, group))
    h = load(membranes, (last - 1) * neurons + n, group)
    for t in range(last - 1, first - 1, -1):
        at = t * neurons + n
        before = load(membranes, at - neurons, group) if t > 0 else load(membrane, n, group)
        seen = backwards(unseen)
        decay, leak, rest = dynamic_gate(dot(weight, seen, bias), exponent, squarings)
        inputs = unseen[0]
        g = load(grad_spikes, at, group)
        soon = ahead + (last - 1 - t) * step
        prefetch(x, soon - k * neurons, group)
        prefetch(membranes, soon - neurons, group)
        prefetch(grad_spikes, soon, group)
        if masked:
            g = select(limit > t, g, zero)
        d = d + through(g, h, kind, level, a, b, c)
        direct = leak * d
        # The gradient of a', times -log(2) because the taps are times -log2(e): gx needs tap * gradient of a.
        of_gate = d * (before - inputs) * (decay * rest * (exponent * -LN_2))
        if masked:
            valid = limit > t
            direct = select(valid, direct, zero)
            of_gate = select(valid, of_gate, zero)
            d = select(valid, d * decay, d)
        else:
            d = d * decay
        arriving = axpy(of_gate, toward_past, (*pending, zero))
        put(grad_x, at, arriving[0] + direct, past_cache, group)
        pending = arriving[1:]
        weight_sums = axpy(of_gate, seen, weight_sums)
        bias_sum = bias_sum + of_gate
        h = before
        unseen = pushed(unseen, load_at(x, window, t - k, neurons, n, group))
    store(carried, slot, d, group)
    store_rows(carried, block + slot, block, pending, group)
    add_rows(totals, column, columns, weight_sums, group)
    store(totals, k * columns + column, load(totals, k * columns + column, group) + bias_sum, group)


@kernel
def _backward(
    x_at, weight_at, bias_at, membrane_at, window_at, membranes_at, limits_at, grad_spikes_at, grad_final_at,
    grad_x_at, grad_membrane_at, grad_window_at, totals_at, like,
    low, high, steps, window_rows, neurons, channels, space, width, columns, block, tile, taps, exponent, squarings,
    kind, level, a, b, c, masked, past_cache,
):  # fmt: skip
    k = len(taps)
    x, membranes = row(x_at, steps * neurons, like), row(membranes_at, steps * neurons, like)
    grad_spikes, grad_x = row(grad_spikes_at, steps * neurons, like), row(grad_x_at, steps * neurons, like)
    membrane, grad_final = row(membrane_at, neurons, like), row(grad_final_at, neurons, like)
    grad_membrane, limits = row(grad_membrane_at, neurons, like), row(limits_at, neurons if masked else 0, like)
    window, grad_window = row(window_at, window_rows * neurons, like), row(grad_window_at, window_rows * neurons, like)
    totals = row(totals_at, (k + 1) * columns, like)
    table = _table(weight_at, bias_at, k, channels, space, columns, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    carried = np.empty(k * block, x.dtype)
    for start in range(low, high, block):
        stop = min(start + block, high)
        size = stop - start
        carried[:size] = grad_final[start:stop]
        carried[block:] = 0.0
        for last in range(steps, 0, -tile):
            first = max(last - tile, 0)
            following = max(first - tile, 0) * neurons + start if first > 0 else (steps - tile) * neurons + stop
            for n in range(start, stop, step):
                slot, column = n - start, n // width * step % columns
                ahead = upcoming(slot, stop - start, tile, step, neurons, following)
                if stop - n >= step:
                    _backward_tile(
                        x, table, membrane, window, membranes, limits, grad_spikes, grad_x, carried, totals,
                        n, slot, column, ahead, first, last, neurons, columns, block, taps, exponent, squarings,
                        kind, level, a, b, c, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        x, table, membrane, window, membranes, limits, grad_spikes, grad_x, carried, totals,
                        n, slot, column, ahead, first, last, neurons, columns, block, taps, exponent, squarings,
                        kind, level, a, b, c, past_cache, part(x, stop - n),
                    )  # fmt: skip
        grad_membrane[start:stop] = carried[:size]
        # What is still pending belongs to the inputs before the first step, the newest first.
        for j in range(window_rows):
            oldest_first = (k - 2 - j) * neurons
            grad_window[oldest_first + start : oldest_first + stop] = carried[(j + 1) * block : (j + 1) * block + size]


def _squarings(exponent: float) -> tuple[int, ...] | None:
    """As many items as squarings make the power `exponent`; None if it is no power of two that is at least 1."""
    mantissa, power_of_two = math.frexp(exponent)
    return static(power_of_two - 1) if mantissa == 0.5 and 1 <= power_of_two <= 5 else None


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference's `forward`."""
    layout = Columns.of(x.shape[1:], membrane.itemsize)
    neurons = layout.neurons
    inputs = in_compute_dtype(x)
    spikes = torch.empty_like(inputs)
    membranes = torch.empty_like(inputs) if keep else empty((0,), x)
    final = torch.empty_like(membrane)
    limits = limits_of(lengths, layout, x)
    tensors = (inputs, weight, bias, membrane, window, limits, spikes, membranes, final)
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    block, tile = tiling(neurons, final.itemsize, in_order=True)
    taps, squarings = static(weight.shape[1]), _squarings(exponent)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(final), low, high, x.shape[0], window.shape[0], *layout, block, tile, taps, exponent,
            squarings, static(kind), numbers[0], keep, lengths is not None, is_past_cache(neurons, spikes, membranes),
        )  # fmt: skip

    grain = BYTES // final.itemsize
    spread(run, neurons, grain, parts(neurons, x.shape[0], grain))
    return spikes.to(x.dtype), final, membranes


def step(
    x_t: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    exponent: float,
    kind: int,
    numbers: list[float],
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, membrane and window after one step; nothing here but what a single step needs.

    x_t and membrane ``[B, C, *]`` contiguous, window ``[B, k - 1, C, *]`` stored time first.
    """
    spikes, after, following = torch.empty_like(x_t), torch.empty_like(membrane), torch.empty_like(window)
    calls = calls_of_step(x_t, weight, bias, (membrane, window), (spikes, after, following), exponent, kind, numbers)
    for each, arguments in calls:
        each(*arguments)
    return spikes, after, following


def calls_of_step(
    x_t: Tensor,
    weight: Tensor,
    bias: Tensor,
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor, Tensor],
    exponent: float,
    kind: int,
    numbers: list[float],
) -> list[Call]:
    """The kernels of `step` that write spikes, membrane and window `after` it; the state may be written in place."""
    membrane, window = before
    spikes, membrane_after, window_after = after
    here, past = x_t.data_ptr(), window.data_ptr()
    neurons, rows, like, constants = _constants_of_step(x_t.shape, weight.shape[1], x_t.dtype, exponent, kind)
    addresses = (
        here, weight.data_ptr(), bias.data_ptr(), membrane.data_ptr(), past, 0, spikes.data_ptr(), 0,
        membrane_after.data_ptr(),
    )  # fmt: skip
    advance = (_forward, (*addresses, *constants, numbers[0], False, False, False))
    if not rows:
        return [advance]
    return [advance, (shift, (here, past, window_after.data_ptr(), like, neurons, rows))]


@functools.lru_cache(maxsize=256)
def _constants_of_step(shape: torch.Size, k: int, dtype: torch.dtype, exponent: float, kind: int) -> tuple[Any, ...]:
    """What calls of `step` have in common: neurons, rows of the window, the type, and arguments of `_forward`."""
    like = number_like(torch.empty(0, dtype=dtype))
    layout = Columns.of((shape[0], shape[1], shape[2:].numel()), like.itemsize)
    rows, one_step, block, tile = k - 1, 1, 1024, 1
    return (
        layout.neurons,
        rows,
        like,
        (
            like,
            0,
            layout.neurons,
            one_step,
            rows,
            *layout,
            block,
            tile,
            static(k),
            exponent,
            _squarings(exponent),
            static(kind),
        ),
    )


def backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    membranes: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, bias, membrane and window."""
    layout = Columns.of(x.shape[1:], membrane.itemsize)
    neurons = layout.neurons
    inputs = in_compute_dtype(x)
    k = weight.shape[1]
    grain = BYTES // membrane.itemsize
    limits = limits_of(lengths, layout, x)
    of_final = torch.zeros_like(membrane) if grad_membrane is None else grad_membrane.contiguous()
    grad_x, grad_h, grad_window = torch.empty_like(inputs), torch.empty_like(membrane), torch.empty_like(window)
    count = parts(neurons, x.shape[0], grain)
    totals = membrane.new_zeros(count, k + 1, layout.columns)
    tensors = (
        inputs, weight, bias, membrane, window, membranes, limits, grad_spikes.to(inputs.dtype), of_final,
        grad_x, grad_h, grad_window,
    )  # fmt: skip
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    block, tile = tiling(neurons, membrane.itemsize, in_order=True)
    taps, squarings = static(k), _squarings(exponent)

    def run(part: int, low: int, high: int) -> None:
        _backward(
            *addresses, totals[part].data_ptr(), number_like(membrane), low, high, x.shape[0], window.shape[0], *layout,
            block, tile, taps, exponent, squarings, static(kind), *numbers, lengths is not None,
            is_past_cache(neurons, grad_x),
        )  # fmt: skip

    spread(run, neurons, grain, count)
    parameters = layout.gather(totals) * -LOG2_E
    return grad_x.to(x.dtype), parameters[:-1].t().contiguous(), parameters[-1].clone(), grad_h, grad_window
