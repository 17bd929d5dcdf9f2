"""Leaky integration with a reset as two sweeps over time; the sweep is cut as in `spikescan.ops.dynamic_decay.cpu`."""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import Channels, empty, in_compute_dtype, limits_of, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops._simd import (
    BYTES,
    add_columns,
    fma,
    full,
    further,
    load,
    part,
    prefetch,
    put,
    row,
    select,
    static,
    store,
    tabulate,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache, tiling
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through
from spikescan.ops.leaky_integration.reference import Reset

# Numba takes module constants as compile-time values, but not members of an enum.
SOFT = int(Reset.SOFT)
HARD = int(Reset.HARD)
INTEGER = int(Kind.INTEGER)


@inline
def _after_reset(h, s, reset, unit):
    """The membrane after the spikes `s` were taken off the charged membrane `h`."""
    if reset == SOFT:
        return h - s * unit
    if reset == HARD:
        return select(s > 0.0, full(0.0, h), h)
    return h


@inline
def _table(decay_at, gain_at, channels, space, period, like):
    """A row of decays and a row of gains over the columns of a period."""
    decay, gain = row(decay_at, channels, like), row(gain_at, channels, like)
    table = np.empty(2 * period, decay.dtype)
    tabulate(table, 0, decay, 1, channels, space, period, 1)
    tabulate(table, 1, gain, 1, channels, space, period, 1)
    return table


@inline
def _forward_tile(
    x, table, limits, spikes, charges, carried,
    n, slot, column, ahead, first, last, neurons, period, reset, unit, kind, level, keep, past_cache, group,
):  # fmt: skip
    decay = load(table, column, group)
    gain = load(table, period + column, group)
    v = load(carried, slot, group)
    masked = limits.size > 0
    limit = load(limits, n, group) if masked else v
    for t in range(first, last):
        at = t * neurons + n
        inputs = load(x, at, group)
        prefetch(x, at + ahead, group)
        h = fma(decay, v, gain * inputs)
        s = fire(h, kind, level)
        if keep:
            put(charges, at, h, past_cache, group)
        after = _after_reset(h, s, reset, unit)
        if masked:
            valid = limit > t
            after = select(valid, after, v)
            s = select(valid, s, full(0.0, v))
        v = after
        put(spikes, at, s, past_cache, group)
    store(carried, slot, v, group)


@kernel
def _forward(
    x_at, decay_at, gain_at, membrane_at, limits_at, spikes_at, charges_at, final_at, like,
    low, high, steps, neurons, channels, space, period, block, tile, reset, unit, kind, level, keep, masked, past_cache,
):  # fmt: skip
    x, spikes = row(x_at, steps * neurons, like), row(spikes_at, steps * neurons, like)
    charges = row(charges_at, steps * neurons if keep else 0, like)
    membrane, final = row(membrane_at, neurons, like), row(final_at, neurons, like)
    limits = row(limits_at, neurons if masked else 0, like)
    table = _table(decay_at, gain_at, channels, space, period, like)
    step = BYTES // x.itemsize
    carried = np.empty(block, x.dtype)
    for start in range(low, high, block):
        stop = min(start + block, high)
        carried[: stop - start] = membrane[start:stop]
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            column = start % period
            for n in range(start, stop, step):
                ahead = further(n - start, stop - start, tile * neurons)
                if stop - n >= step:
                    _forward_tile(
                        x, table, limits, spikes, charges, carried, n, n - start, column, ahead, first, last, neurons, period,
                        reset, unit, kind, level, keep, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        x, table, limits, spikes, charges, carried, n, n - start, column, ahead, first, last, neurons, period,
                        reset, unit, kind, level, keep, past_cache, part(x, stop - n),
                    )  # fmt: skip
                column += step
                if column >= period:
                    column = 0
        final[start:stop] = carried[: stop - start]


@inline
def _before(charges, membrane, t, at, n, neurons, reset, unit, kind, level, group):
    """(charged membrane of the step before, membrane after it): what step t started from."""
    if t > 0:
        h = load(charges, at - neurons, group)
        return h, _after_reset(h, fire(h, kind, level), reset, unit)
    v = load(membrane, n, group)
    return v, v


@inline
def _backward_tile(
    x, table, membrane, charges, limits, grad_spikes, grad_x, carried, sums, n, slot, column, ahead, first, last, neurons,
    period, block, reset, unit, detached, kind, level, a, b, c, past_cache, group,
):  # fmt: skip
    decay = load(table, column, group)
    gain = load(table, period + column, group)
    d = load(carried, slot, group)  # the gradient of V after step t
    decay_sum = load(sums, slot, group)
    gain_sum = load(sums, block + slot, group)
    masked = limits.size > 0
    limit = load(limits, n, group) if masked else d
    zero = full(0.0, d)
    h = load(charges, (last - 1) * neurons + n, group)
    for t in range(last - 1, first - 1, -1):
        at = t * neurons + n
        s = fire(h, kind, level)
        of_spikes = load(grad_spikes, at, group)
        prefetch(grad_spikes, at + ahead, group)
        prefetch(charges, at + ahead, group)
        prefetch(x, at + ahead, group)
        of_charge = d
        if reset == SOFT:
            if not detached:
                of_spikes = of_spikes - d * unit
        elif reset == HARD:
            of_charge = select(s > 0.0, zero, d)
            if not detached and len(kind) != INTEGER:
                of_spikes = of_spikes - d * h
        of_charge = of_charge + through(of_spikes, h, kind, level, a, b, c)
        previous, before = _before(charges, membrane, t, at, n, neurons, reset, unit, kind, level, group)
        if masked:
            of_charge = select(limit > t, of_charge, zero)
            d = select(limit > t, of_charge * decay, d)
        else:
            d = of_charge * decay
        put(grad_x, at, of_charge * gain, past_cache, group)
        decay_sum = fma(of_charge, before, decay_sum)
        gain_sum = fma(of_charge, load(x, at, group), gain_sum)
        h = previous
    store(carried, slot, d, group)
    store(sums, slot, decay_sum, group)
    store(sums, block + slot, gain_sum, group)


@kernel
def _backward(
    x_at, decay_at, gain_at, membrane_at, charges_at, limits_at, grad_spikes_at, grad_final_at, grad_x_at,
    grad_membrane_at, totals_at, like,
    low, high, steps, neurons, channels, space, period, block, tile, reset, unit, detached,
    kind, level, a, b, c, masked, past_cache,
):  # fmt: skip
    x, charges = row(x_at, steps * neurons, like), row(charges_at, steps * neurons, like)
    grad_spikes, grad_x = row(grad_spikes_at, steps * neurons, like), row(grad_x_at, steps * neurons, like)
    membrane, grad_final = row(membrane_at, neurons, like), row(grad_final_at, neurons, like)
    grad_membrane, limits = row(grad_membrane_at, neurons, like), row(limits_at, neurons if masked else 0, like)
    totals = row(totals_at, 2 * period, like)
    table = _table(decay_at, gain_at, channels, space, period, like)
    step = BYTES // x.itemsize
    carried = np.empty(block, x.dtype)
    for start in range(low, high, block):
        stop = min(start + block, high)
        carried[: stop - start] = grad_final[start:stop]
        sums = np.zeros(2 * block, x.dtype)
        for last in range(steps, 0, -tile):
            first = max(last - tile, 0)
            column = start % period
            for n in range(start, stop, step):
                ahead = further(n - start, stop - start, -tile * neurons)
                if stop - n >= step:
                    _backward_tile(
                        x, table, membrane, charges, limits, grad_spikes, grad_x, carried, sums, n, n - start, column, ahead,
                        first, last, neurons, period, block, reset, unit, detached, kind, level, a, b, c, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        x, table, membrane, charges, limits, grad_spikes, grad_x, carried, sums, n, n - start, column, ahead,
                        first, last, neurons, period, block, reset, unit, detached, kind, level, a, b, c, past_cache,
                        part(x, stop - n),
                    )  # fmt: skip
                column += step
                if column >= period:
                    column = 0
        grad_membrane[start:stop] = carried[: stop - start]
        add_columns(totals, sums, 2, start, stop, period, block)


def forward(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference's `forward`."""
    channels = Channels.of(x)
    inputs = in_compute_dtype(x)
    spikes = torch.empty_like(inputs)
    charges = torch.empty_like(inputs) if keep else empty((0,), x)
    final = torch.empty_like(membrane)
    limits = limits_of(lengths, channels, x)
    tensors = (inputs, decay, gain, membrane, limits, spikes, charges, final)
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    _, _, neurons, period = channels
    block, tile = tiling(neurons, final.itemsize)
    unit = FiringSpec(Kind(kind), *numbers).unit

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(final), low, high, x.shape[0], neurons, channels.channels, channels.space, period,
            block, tile, reset, unit, static(kind), numbers[0], keep, lengths is not None,
            is_past_cache(neurons, spikes, charges),
        )  # fmt: skip

    grain = BYTES // final.itemsize
    spread(run, neurons, grain, parts(neurons, x.shape[0], grain))
    return spikes.to(x.dtype), final, charges


def backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    charges: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, decay, gain and membrane."""
    channels = Channels.of(x)
    inputs = in_compute_dtype(x)
    _, _, neurons, period = channels
    grain = BYTES // membrane.itemsize
    limits = limits_of(lengths, channels, x)
    of_final = torch.zeros_like(membrane) if grad_membrane is None else grad_membrane.contiguous()
    grad_x, grad_v = torch.empty_like(inputs), torch.empty_like(membrane)
    count = parts(neurons, x.shape[0], grain)
    totals = membrane.new_zeros(count, 2, period)
    tensors = (
        inputs, decay, gain, membrane, charges, limits, grad_spikes.to(inputs.dtype), of_final, grad_x, grad_v
    )  # fmt: skip
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    block, tile = tiling(neurons, membrane.itemsize)
    unit = FiringSpec(Kind(kind), *numbers).unit

    def run(part: int, low: int, high: int) -> None:
        _backward(
            *addresses, totals[part].data_ptr(), number_like(membrane), low, high, x.shape[0], neurons,
            channels.channels, channels.space, period, block, tile, reset, unit, detach_reset, static(kind), *numbers,
            lengths is not None, is_past_cache(neurons, grad_x),
        )  # fmt: skip

    spread(run, neurons, grain, count)
    grad_decay, grad_gain = channels.gather(totals)
    return grad_x.to(x.dtype), grad_decay.clone(), grad_gain.clone(), grad_v
