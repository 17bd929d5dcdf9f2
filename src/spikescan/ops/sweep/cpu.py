"""A cell as two sweeps over time; the sweep is cut as in `spikescan.ops.dynamic_decay.cpu`.

The forward sweep is given the cell's program and the backward sweep that and its gradient, as types: each cell has kernels of
its own, into which its operations are written out.

What is kept for the backward are the states before every 16th step. It computes those between again, a tile at a time, in
the cache: an addition or two a neuron-step, where reading them would cost as much as the whole step does.
"""

import functools
import math
from typing import Any

import torch
from torch import Tensor

from spikescan.ops._arrays import Channels, empty, limits_of, number_like
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops._compile import inline, kernel
from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops._simd import (
    BYTES,
    add_columns,
    choose,
    full,
    load,
    load_rows,
    move,
    part,
    prefetch,
    put,
    release,
    row,
    scratch,
    select,
    static,
    store,
    store_rows,
    tabulate,
    traced,
    upcoming,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache
from spikescan.ops.stepping.link import Call
from spikescan.ops.sweep._instructions import advance, retreat
from spikescan.ops.sweep.cell import cell_of

KEEP_EVERY = 16
"""Steps of a tile, and from one kept state to the next."""
BLOCK = 1 << 14
"""Bytes of a block of neurons: long runs in memory, asked for in their order; two tiles of it fit the cache of a core."""


@traced
def select_rows(mask, a, b):
    """The tuple of `a_i` where the mask holds, else `b_i`."""
    return tuple(choose(mask, one, other) for one, other in zip(a, b, strict=True))


@inline
def _forward_tile(
    cell, x, table, limits, spikes, kept, carried, n, slot, column, ahead, first, last, rows, neurons, period, block,
    states, parameters, unit, kind, level, keep, past_cache, group,
):  # fmt: skip
    step = BYTES // x.itemsize
    values = load_rows(table, column, period, parameters, group)
    state = load_rows(carried, slot, block, states, group)
    if keep:
        store_rows(kept, first // KEEP_EVERY * neurons + n, rows * neurons, state, group)
    masked = limits.size > 0
    zero = full(0.0, group)
    limit = load(limits, n, group) if masked else zero
    for t in range(first, last):
        at = t * neurons + n
        inputs = load(x, at, group)
        prefetch(x, ahead + (t - first) * step, group)
        s, after = advance(cell, inputs, state, values, unit, kind, level)
        if masked:
            valid = limit > t
            after = select_rows(valid, after, state)
            s = select(valid, s, zero)
        state = after
        put(spikes, at, s, past_cache, group)
    store_rows(carried, slot, block, state, group)


@kernel
def _forward(
    cell, x_at, parameters_at, initial_at, limits_at, spikes_at, kept_at, final_at, like,
    low, high, steps, neurons, channels, space, period, block, states, parameters, unit, kind, level, keep, masked,
    past_cache,
):  # fmt: skip
    size, rows = steps * neurons, -(-steps // KEEP_EVERY)
    x, spikes = row(x_at, size, like), row(spikes_at, size, like)
    kept = row(kept_at, len(states) * rows * neurons if keep else 0, like)
    initial, final = row(initial_at, len(states) * neurons, like), row(final_at, len(states) * neurons, like)
    limits = row(limits_at, neurons if masked else 0, like)
    table = _table(parameters_at, parameters, channels, space, period, like)
    step, tile = BYTES // x.itemsize, KEEP_EVERY
    carried = scratch(len(states) * block, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for each in range(len(states)):
            move(initial, each * neurons + start, carried, each * block, stop - start)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            following = last * neurons + start if last < steps else stop
            column = start % period
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = n - start
                if stop - n >= step:
                    _forward_tile(
                        cell, x, table, limits, spikes, kept, carried, n, slot, column, ahead, first, last, rows, neurons,
                        period, block, states, parameters, unit, kind, level, keep, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        cell, x, table, limits, spikes, kept, carried, n, slot, column, ahead, first, last, rows, neurons,
                        period, block, states, parameters, unit, kind, level, keep, past_cache, part(x, stop - n),
                    )  # fmt: skip
                column += step
                if column >= period:
                    column = 0
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
        for each in range(len(states)):
            move(carried, each * block, final, each * neurons + start, stop - start)
    release(carried)
    if channels != period:
        release(table)


@inline
def _table(parameters_at, parameters, channels, space, period, like):
    """A row of each parameter over the columns of a period: as they are where a column is a channel, else `release` it."""
    count = len(parameters)
    values = row(parameters_at, count * channels, like)
    if channels == period:
        return values
    table = scratch(count * period, values)
    for each in range(count):
        tabulate(table, each, values[each * channels : (each + 1) * channels], 1, channels, space, period, 1)
    return table


@inline
def _backward_tile(
    cell, x, table, kept, limits, grad_spikes, grad_x, carried, sums, seen, n, slot, column, ahead, first, last, rows,
    neurons, period, block, states, parameters, unit, kind, level, a, b, c, all_of, past_cache, group,
):  # fmt: skip
    step = BYTES // x.itemsize
    values = load_rows(table, column, period, parameters, group)
    masked = limits.size > 0
    zero = full(0.0, group)
    limit = load(limits, n, group) if masked else zero
    # The states before each step of the tile, again; and its inputs and gradients, gathered: in memory they lie whole pages
    # apart, too many of which would share a set of the first cache to be found there in the second walk.
    width = (len(states) + 2) * step
    state = load_rows(kept, first // KEEP_EVERY * neurons + n, rows * neurons, states, group)
    for t in range(first, last):
        at, slot_of_t = t * neurons + n, (t - first) * width
        inputs = load(x, at, group)
        store_rows(seen, slot_of_t, step, state, group)
        store(seen, slot_of_t + width - 2 * step, inputs, group)
        store(seen, slot_of_t + width - step, load(grad_spikes, at, group), group)
        if t < last - 1:
            _, after = advance(cell, inputs, state, values, unit, kind, level)
            if masked:
                after = select_rows(limit > t, after, state)
            state = after
    grads = load_rows(carried, slot, block, states, group)
    totals = load_rows(sums, slot, block, parameters, group)
    for t in range(last - 1, first - 1, -1):
        slot_of_t = (t - first) * width
        before = load_rows(seen, slot_of_t, step, states, group)
        soon = ahead + (last - 1 - t) * step
        prefetch(x, soon, group)
        prefetch(grad_spikes, soon, group)
        of_x, of_states, sums_on = retreat(
            cell,
            load(seen, slot_of_t + width - 2 * step, group),
            before,
            values,
            load(seen, slot_of_t + width - step, group),
            grads,
            totals,
            unit,
            kind,
            level,
            a,
            b,
            c,
            all_of,
        )
        if masked:
            valid = limit > t
            of_x = select(valid, of_x, zero)
            of_states = select_rows(valid, of_states, grads)
            sums_on = select_rows(valid, sums_on, totals)
        grads, totals = of_states, sums_on
        put(grad_x, t * neurons + n, of_x, past_cache, group)
    store_rows(carried, slot, block, grads, group)
    store_rows(sums, slot, block, totals, group)


@kernel
def _backward(
    cell, x_at, parameters_at, kept_at, limits_at, grad_spikes_at, grad_final_at, grad_x_at, grad_initial_at,
    totals_at, like, low, high, steps, neurons, channels, space, period, block, states, parameters, unit, kind,
    level, a, b, c, all_of, masked, past_cache,
):  # fmt: skip
    size, rows, wanted = steps * neurons, -(-steps // KEEP_EVERY), len(all_of) > 0
    x, kept = row(x_at, size, like), row(kept_at, len(states) * rows * neurons, like)
    grad_spikes, grad_x = row(grad_spikes_at, size, like), row(grad_x_at, size, like)
    grad_final, grad_initial = (
        row(grad_final_at, len(states) * neurons, like),
        row(grad_initial_at, len(states) * neurons if wanted else 0, like),
    )
    limits = row(limits_at, neurons if masked else 0, like)
    totals = row(totals_at, len(parameters) * period if wanted else 0, like)
    table = _table(parameters_at, parameters, channels, space, period, like)
    step, tile = BYTES // x.itemsize, KEEP_EVERY
    carried, seen = scratch(len(states) * block, x), scratch((len(states) + 2) * tile * step, x)
    sums = scratch(len(parameters) * block, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        for each in range(len(states)):
            move(grad_final, each * neurons + start, carried, each * block, stop - start)
        sums[:] = 0.0
        for first in range((rows - 1) * tile, -1, -tile):
            last = min(first + tile, steps)
            following = (first - tile) * neurons + start if first > 0 else (rows - 1) * tile * neurons + stop
            column = start % period
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = n - start
                if stop - n >= step:
                    _backward_tile(
                        cell, x, table, kept, limits, grad_spikes, grad_x, carried, sums, seen, n, slot, column, ahead, first,
                        last, rows, neurons, period, block, states, parameters, unit, kind, level, a, b, c, all_of,
                        past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        cell, x, table, kept, limits, grad_spikes, grad_x, carried, sums, seen, n, slot, column, ahead, first,
                        last, rows, neurons, period, block, states, parameters, unit, kind, level, a, b, c, all_of,
                        past_cache, part(x, stop - n),
                    )  # fmt: skip
                column += step
                if column >= period:
                    column = 0
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
        if wanted:
            for each in range(len(states)):
                move(carried, each * block, grad_initial, each * neurons + start, stop - start)
            add_columns(totals, sums, len(parameters), start, stop, period, block)
    release(carried)
    release(seen)
    release(sums)
    if channels != period:
        release(table)


def forward(
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference's `forward`."""
    channels = Channels.of(x)
    inputs = in_compute_dtype(x)
    spikes, final = torch.empty_like(inputs), torch.empty_like(initial)
    kept = empty((len(initial), -(-len(x) // KEEP_EVERY), *x.shape[1:]) if keep else (0,), x)
    limits = limits_of(lengths, channels, x)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, parameters, initial, limits, spikes, kept, final))
    _, _, neurons, period = channels
    block = BLOCK // final.itemsize
    unit = FiringSpec(Kind(kind), *numbers).unit
    counts = (static(len(initial)), static(len(parameters)))

    def run(_: int, low: int, high: int) -> None:
        _forward(
            cell_of(cell), *addresses, number_like(final), low, high, x.shape[0], neurons, channels.channels, channels.space,
            period, block, *counts, unit, static(kind), numbers[0], keep, lengths is not None,
            is_past_cache(neurons, spikes),
        )  # fmt: skip

    grain = BYTES // final.itemsize
    spread(run, neurons, grain, parts(neurons, x.shape[0], grain))
    return spikes.to(x.dtype), final, kept


def step(
    x_t: Tensor,
    state: tuple[Tensor, ...],
    parameters: tuple[Tensor | float, ...],
    cell: str,
    kind: int,
    numbers: list[float],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Spikes and states after one step; nothing here but what a single step needs.

    x_t and the states ``[B, C, *]`` contiguous, in the same dtype.
    """
    table = table_of_step(parameters, x_t.shape[1], x_t.dtype)
    initial = state[0] if len(state) == 1 else torch.stack(state)
    spikes, final = torch.empty_like(x_t), torch.empty_like(initial)
    forward_step, arguments = call_of_step(x_t, table, initial, (spikes, final), cell, len(state), kind, numbers)
    forward_step(*arguments)
    return spikes, (final,) if len(state) == 1 else final.unbind(0)


def call_of_step(
    x_t: Tensor,
    table: Tensor,
    initial: Tensor,
    after: tuple[Tensor, Tensor],
    cell: str,
    states: int,
    kind: int,
    numbers: list[float],
) -> Call:
    """The kernel of `step` that writes spikes and states `after` it, from a table of parameters ``[P, C]``.

    The states before and after lie one behind the other in one tensor, and may be written in place.
    """
    spikes, final = after
    before, middle, rest = _constants_of_step(cell, x_t.shape, x_t.dtype, states, len(table), kind, numbers[0])
    addresses = (x_t.data_ptr(), table.data_ptr(), initial.data_ptr(), 0, spikes.data_ptr(), 0, final.data_ptr())
    return _forward, (before, *addresses, *middle, numbers[0], *rest)


def table_of_step(parameters: tuple[Tensor | float, ...], channels: int, dtype: torch.dtype) -> Tensor:
    """The parameters ``[P, C]``."""
    tensors = [each for each in parameters if isinstance(each, Tensor)]
    if not tensors:
        return _constant_table(parameters, channels, dtype)
    return torch.stack(
        [
            (each.to(dtype) if isinstance(each, Tensor) else torch.tensor(each, dtype=dtype, device="cpu")).expand(
                channels
            )
            for each in parameters
        ]
    )


@functools.lru_cache(maxsize=256)
def _constant_table(parameters: tuple[float, ...], channels: int, dtype: torch.dtype) -> Tensor:
    """Constants are the same in every step; the kernel only reads the table."""
    return torch.tensor(parameters, dtype=dtype, device="cpu").unsqueeze(1).expand(-1, channels).contiguous()


@functools.lru_cache(maxsize=256)
def _constants_of_step(
    cell: str, shape: torch.Size, dtype: torch.dtype, states: int, parameters: int, kind: int, level: float
) -> tuple[Any, ...]:
    """The arguments of `_forward` that calls of `step` have in common: before, between and behind those that change."""
    like = number_like(torch.empty(0, dtype=dtype))
    batch, channels, *space = shape
    layout = Channels.of(torch.empty(1, batch, channels, math.prod(space), dtype=dtype, device="meta"))
    _, _, neurons, period = layout
    unit = FiringSpec(Kind(kind), level).unit
    one_step, block = 1, 1024
    middle = (
        like, 0, neurons, one_step, neurons, channels, layout.space, period, block, static(states), static(parameters), unit,
        static(kind),
    )  # fmt: skip
    return cell_of(cell), middle, (False, False, False)


def backward(
    grad_spikes: Tensor,
    grad_final: Tensor | None,
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    kept: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    input_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, initial and parameters; the last two empty where `input_only`."""
    channels = Channels.of(x)
    inputs = in_compute_dtype(x)
    _, _, neurons, period = channels
    limits = limits_of(lengths, channels, x)
    of_final = torch.zeros_like(initial) if grad_final is None else grad_final.contiguous()
    grad_x, grad_initial = torch.empty_like(inputs), empty((0,), x) if input_only else torch.empty_like(initial)
    grain = BYTES // initial.itemsize
    count = parts(neurons, x.shape[0], grain)
    totals = initial.new_zeros(count, 0 if input_only else len(parameters), period)
    tensors = (
        inputs, parameters, kept, limits, grad_spikes.to(inputs.dtype), of_final, grad_x, grad_initial
    )  # fmt: skip
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    block = BLOCK // initial.itemsize
    unit = FiringSpec(Kind(kind), *numbers).unit
    counts = (static(len(initial)), static(len(parameters)))

    def run(part: int, low: int, high: int) -> None:
        _backward(
            cell_of(cell), *addresses, totals[part].data_ptr(), number_like(initial), low, high, x.shape[0], neurons,
            channels.channels, channels.space, period, block, *counts, unit, static(kind), *numbers,
            static(int(not input_only)), lengths is not None, is_past_cache(neurons, grad_x),
        )  # fmt: skip

    spread(run, neurons, grain, count)
    return grad_x.to(x.dtype), grad_initial, empty((0,), x) if input_only else channels.gather(totals)
