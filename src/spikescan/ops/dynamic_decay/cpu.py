"""The Dynamic Decay Spiking Neuron as two sweeps over time, each neuron in a lane of a vector.

A sweep takes a block of neurons at a time and walks it through time in tiles of a few steps. Within a tile a vector of
neurons first has its gates filtered (`_filters`), then its membrane walks through the steps; on the way back the membrane
comes first and then what the filter carries back. Blocks are wide where there are many neurons, so that memory is read in
long runs; what a block carries from tile to tile stays in the cache. `docs/performance.md` has the measurements.

What is kept for the backward is what each gate came to, so that neither its filter nor its exponential nor its division is
computed again, and the membrane before each tile: those within follow from the gates in an operation or two.
"""

import functools
import math
from typing import Any

import torch
from torch import Tensor

from spikescan.ops._arrays import Columns, empty, limits_of, number_like
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
from spikescan.ops._power import squarings
from spikescan.ops._simd import (
    BYTES,
    LOG2_E,
    fma,
    full,
    load,
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
    upcoming,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache, tiling
from spikescan.ops.dynamic_decay._gate import dynamic_gate, shut
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.fire.cpu import through
from spikescan.ops.stepping.link import Call

LN_2 = math.log(2.0)

KEEP_EVERY = 8
"""Steps from one membrane that is kept to the next: every tile has a multiple of it."""


def rows_kept(steps: int) -> int:
    """Rows of what is kept for the backward: a gate a step, then the membranes before tiles other than the first."""
    return steps + max(-(-steps // KEEP_EVERY) - 1, 0)


@inline
def _blank(inputs, limits, n, first, last, k, group):
    """Zeros for the inputs of steps `first` to `last` that lie beyond a sample's length, whatever is there."""
    step = BYTES // inputs.itemsize
    limit = load(limits, n, group)
    for time in range(first - (k - 1), last):
        at = (time - first + k - 1) * step
        store(inputs, at, select(limit > time, load(inputs, at, whole(inputs)), full(0.0, limit)), whole(inputs))


@inline
def _shut(gates, size, squarings):
    """What `shut` makes of the gates of `size` steps: at once, for in a walk that also charges the membrane it takes longer."""
    step = BYTES // gates.itemsize
    for at in range(0, size * step, step):
        store(gates, at, shut(load(gates, at, whole(gates)), squarings), whole(gates))


@inline
def _forward_tile(
    x, window, table, inputs, gates, limits, spikes, kept, after, carried, n, slot, base, ahead, first, last, steps, neurons,
    k, exponent, squarings, kind, level, keep, past_cache, group,
):  # fmt: skip
    read(x, window, inputs, n, ahead, first, last, k, neurons, group)
    masked = limits.size > 0
    if masked:
        _blank(inputs, limits, n, first, last, k, group)
    filtered(table, base, load(table, base, whole(x)), inputs, gates, last - first, k)
    _shut(gates, last - first, squarings)
    step = BYTES // x.itemsize
    newest = (k - 1) * step
    h = load(carried, slot, whole(x))
    if keep and first > 0:
        store(kept, (steps + first // KEEP_EVERY - 1) * neurons + n, h, group)
    limit = load(limits, n, group) if masked else h
    for t in range(first, last):
        at, slot_of_t = t * neurons + n, (t - first) * step
        gate = load(gates, slot_of_t, whole(x))
        decay, leak, _ = dynamic_gate(gate, exponent, squarings)
        charged = fma(decay, h, leak * load(inputs, newest + slot_of_t, whole(x)))
        fired = fire(charged, kind, level)
        if masked:
            valid = limit > t
            charged = select(valid, charged, h)
            fired = select(valid, fired, full(0.0, h))
        h = charged
        put(spikes, at, fired, past_cache, group)
        if keep:
            put(kept, at, gate, past_cache, group)
    store(carried, slot, h, whole(x))
    if after.size > 0 and last == steps:
        for each in range(k - 1):
            store(after, each * neurons + n, load(inputs, (last - first + each) * step, whole(x)), group)


@kernel
def _forward(
    x_at, weight_at, bias_at, membrane_at, window_at, limits_at, spikes_at, kept_at, final_at, after_at, like,
    low, high, steps, window_rows, kept_rows, after_rows, neurons, channels, space, width, columns, block, tile, k, rows,
    exponent, squarings, kind, level, keep, masked, resting, past_cache,
):  # fmt: skip
    x, spikes = row(x_at, steps * neurons, like), row(spikes_at, steps * neurons, like)
    kept = row(kept_at, kept_rows * neurons, like)
    membrane, final = row(membrane_at, neurons, like), row(final_at, neurons, like)
    window, after = row(window_at, window_rows * neurons, like), row(after_at, after_rows * neurons, like)
    limits = row(limits_at, neurons if masked else 0, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    table = table_of(weight_at, bias_at, k, rows, channels, space, columns, -LOG2_E, like)
    inputs, gates = scratch((tile + k + AT_ONCE) * step, x), scratch((tile + AT_ONCE) * step, x)
    carried = scratch(block, x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        if resting:
            carried[:] = 0.0
        else:
            move(membrane, start, carried, 0, stop - start)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            following = last * neurons + start if last < steps else stop
            base, used = column_of(start, step, width, columns, rows), start % width
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = n - start
                if stop - n >= step:
                    _forward_tile(
                        x, window, table, inputs, gates, limits, spikes, kept, after, carried, n, slot, base, ahead, first,
                        last, steps, neurons, k, exponent, squarings, kind, level, keep, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        x, window, table, inputs, gates, limits, spikes, kept, after, carried, n, slot, base, ahead, first,
                        last, steps, neurons, k, exponent, squarings, kind, level, keep, past_cache, part(x, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
                base, used = next_column(base, used, step, width, columns, rows)
        move(carried, 0, final, start, stop - start)
    release(table)
    release(inputs)
    release(gates)
    release(carried)


@inline
def _membranes_again(
    x, inputs, membrane, kept, limits, befores, n, ahead, first, last, steps, neurons, k, exponent, squarings, resting, group
):  # fmt: skip
    """The membrane before each step of a tile and, behind them, after the last."""
    step = BYTES // x.itemsize
    newest = (k - 1) * step
    masked = limits.size > 0
    if first > 0:
        h = load(kept, (steps + first // KEEP_EVERY - 1) * neurons + n, group)
    else:
        h = full(0.0, group) if resting else load(membrane, n, group)
    limit = load(limits, n, group) if masked else h
    for t in range(first, last):
        slot_of_t = (t - first) * step
        store(befores, slot_of_t, h, whole(x))
        decay, leak, _ = dynamic_gate(load(kept, t * neurons + n, group), exponent, squarings)
        prefetch(kept, ahead, group)
        ahead += step
        charged = fma(decay, h, leak * load(inputs, newest + slot_of_t, whole(x)))
        if masked:
            charged = select(limit > t, charged, h)
        h = charged
    return h


@inline
def _of_membrane(
    x, inputs, of_gate, direct, kept, befores, h, limits, grad_spikes, carried, totals, n, slot, base, ahead, first, last,
    neurons, k, exponent, squarings, kind, level, a, b, c, group,
):  # fmt: skip
    """The gradients of the gates, and of the inputs as far as they charge the membrane at once."""
    step = BYTES // x.itemsize
    newest = (k - 1) * step
    d, total = load(carried, slot, whole(x)), load(totals, base, whole(x))
    zero = full(0.0, d)
    masked = limits.size > 0
    limit = load(limits, n, group) if masked else d
    for t in range(last - 1, first - 1, -1):
        at, slot_of_t = t * neurons + n, (t - first) * step
        before = load(befores, slot_of_t, whole(x))
        g = load(grad_spikes, at, group)
        prefetch(grad_spikes, ahead, group)
        ahead += step
        decay, leak, rest = dynamic_gate(load(kept, at, group), exponent, squarings)
        if masked:
            g = select(limit > t, g, zero)
        d = d + through(g, h, kind, level, a, b, c)
        charging = leak * d
        # The gradient of a', times -log(2) because the taps are times -log2(e): gx needs tap * gradient of a.
        gating = d * (before - load(inputs, newest + slot_of_t, whole(x))) * (decay * rest * (exponent * -LN_2))
        if masked:
            valid = limit > t
            charging = select(valid, charging, zero)
            gating = select(valid, gating, zero)
            d = select(valid, d * decay, d)
        else:
            d = d * decay
        store(direct, slot_of_t, charging, whole(x))
        store(of_gate, slot_of_t, gating, whole(x))
        total = total + gating
        h = before
    store(carried, slot, d, whole(x))
    store(totals, base, total, whole(x))


@inline
def _backward_tile(
    x, membrane, window, table, inputs, of_gate, panel, befores, kept, limits, grad_spikes, grad_x, carried, later, totals, n,
    slot, base, ahead, first, last, steps, neurons, k, exponent, squarings, kind, level, a, b, c, resting, past_cache, group,
):  # fmt: skip
    read(x, window, inputs, n, ahead, first, last, k, neurons, group)
    if limits.size > 0:
        _blank(inputs, limits, n, first, last, k, group)
    h = _membranes_again(
        x, inputs, membrane, kept, limits, befores, n, ahead, first, last, steps, neurons, k, exponent, squarings, resting,
        group,
    )  # fmt: skip
    _of_membrane(
        x, inputs, of_gate, panel, kept, befores, h, limits, grad_spikes, carried, totals, n, slot, base, ahead, first, last,
        neurons, k, exponent, squarings, kind, level, a, b, c, group,
    )  # fmt: skip
    onward(of_gate, later, slot * (k - 1), last - first, k, last == steps, first == 0 and window.size == 0)
    spread_back(table, base, of_gate, panel, True, grad_x, n, first, last, neurons, k, past_cache, group)
    sum_of_taps(of_gate, inputs, totals, base, last - first, k)


@kernel
def _backward(
    x_at, weight_at, bias_at, membrane_at, window_at, kept_at, limits_at, grad_spikes_at, grad_final_at,
    grad_x_at, grad_membrane_at, grad_window_at, totals_at, like,
    low, high, steps, window_rows, kept_rows, neurons, channels, space, width, columns, block, tile, k, rows, exponent,
    squarings, kind, level, a, b, c, masked, resting, ending, past_cache,
):  # fmt: skip
    x, kept = row(x_at, steps * neurons, like), row(kept_at, kept_rows * neurons, like)
    grad_spikes, grad_x = row(grad_spikes_at, steps * neurons, like), row(grad_x_at, steps * neurons, like)
    membrane, grad_membrane = row(membrane_at, neurons, like), row(grad_membrane_at, neurons, like)
    grad_final, limits = row(grad_final_at, neurons, like), row(limits_at, neurons if masked else 0, like)
    window, grad_window = row(window_at, window_rows * neurons, like), row(grad_window_at, window_rows * neurons, like)
    totals = row(totals_at, columns * rows, like)
    step, tile = BYTES // x.itemsize, max(min(tile, steps), 1)
    table = table_of(weight_at, bias_at, k, rows, channels, space, columns, -LOG2_E, like)
    longest = (max(tile, k) + k + AT_ONCE) * step
    inputs, of_gate, panel = scratch(longest, x), scratch(longest, x), scratch(longest, x)
    befores, carried, later = scratch(tile * step, x), scratch(block, x), scratch(block * (k - 1), x)
    for start in range(low, high, block):
        stop = min(start + block, high)
        if ending:
            move(grad_final, start, carried, 0, stop - start)
        else:
            carried[:] = 0.0
        tiles = -(-steps // tile)
        for first in range((tiles - 1) * tile, -1, -tile):
            last = min(first + tile, steps)
            following = (first - tile) * neurons + start if first > 0 else (tiles - 1) * tile * neurons + stop
            base, used = column_of(start, step, width, columns, rows), start % width
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = n - start
                if stop - n >= step:
                    _backward_tile(
                        x, membrane, window, table, inputs, of_gate, panel, befores, kept, limits, grad_spikes, grad_x, carried,
                        later, totals, n, slot, base, ahead, first, last, steps, neurons, k, exponent, squarings, kind, level,
                        a, b, c, resting, past_cache, whole(x),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        x, membrane, window, table, inputs, of_gate, panel, befores, kept, limits, grad_spikes, grad_x, carried,
                        later, totals, n, slot, base, ahead, first, last, steps, neurons, k, exponent, squarings, kind, level,
                        a, b, c, resting, past_cache, part(x, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
                base, used = next_column(base, used, step, width, columns, rows)
        if not resting:
            move(carried, 0, grad_membrane, start, stop - start)
        for n in range(start, stop if window_rows else start, step):
            slot, base, group = (n - start) * (k - 1), column_of(n, step, width, columns, rows), part(x, stop - n)
            window_back(table, base, of_gate, panel, later, slot, grad_window, n, k, neurons, group)
    release(table)
    release(inputs)
    release(of_gate)
    release(panel)
    release(befores)
    release(carried)
    release(later)


def _squarings(exponent: float) -> tuple[int, ...] | None:
    """As many items as squarings make the power `exponent`, or None."""
    count = squarings(exponent)
    return None if count is None else static(count)


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
    after: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, the last membrane and, if `keep`, what the backward needs; the window after the last step goes to `after`.

    x ``[T, B, C, *]``, the others as the reference's `forward` takes them; a membrane or a window without rows is zeros.
    """
    layout = Columns.of(x.shape[1:], membrane.itemsize)
    neurons = layout.neurons
    inputs = in_compute_dtype(x)
    spikes = torch.empty_like(inputs)
    kept = empty((rows_kept(len(x)), *x.shape[1:]) if keep else (0,), x)
    final = empty(x.shape[1:], x)
    limits = limits_of(lengths, layout, x)
    after = final[:0] if after is None else after
    tensors = (inputs, weight, bias, membrane, window, limits, spikes, kept, final, after)
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    cut = tiling(neurons, weight.shape[1], final.itemsize)
    k, squarings = weight.shape[1], _squarings(exponent)
    past_cache = is_past_cache(neurons, spikes, kept)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(final), low, high, x.shape[0], window.shape[0], kept.shape[0], after.shape[0],
            *layout, *cut, k, rows_of(k), exponent, squarings, static(kind), numbers[0], keep, lengths is not None,
            membrane.shape[0] == 0, past_cache,
        )  # fmt: skip

    grain = BYTES // final.itemsize
    spread(run, neurons, grain, parts(neurons, 2 * x.shape[0], grain))  # no light kernel, and the backward less so
    return spikes.to(x.dtype), final, kept


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
    _step(
        weight.data_ptr(), bias.data_ptr(), 0, x_t.data_ptr(), membrane.data_ptr(), window.data_ptr(), spikes.data_ptr(),
        after.data_ptr(), following.data_ptr(), *_constants_of_step(x_t.shape, weight.shape[1], weight.dtype, exponent, kind),
        numbers[0],
    )  # fmt: skip
    return spikes, after, following


@kernel
def _step(
    weight_at, bias_at, table_at, x_at, membrane_at, window_at, spikes_at, final_at, following_at, like,
    neurons, channels, space, width, columns, k, rows, exponent, squarings, kind, level,
):  # fmt: skip
    x, spikes = row(x_at, neurons, like), row(spikes_at, neurons, like)
    membrane, final = row(membrane_at, neurons, like), row(final_at, neurons, like)
    window, following = row(window_at, (k - 1) * neurons, like), row(following_at, (k - 1) * neurons, like)
    if table_at:
        table = row(table_at, columns * rows, like)
    else:
        table = table_of(weight_at, bias_at, k, rows, channels, space, columns, -LOG2_E, like)
    step = BYTES // x.itemsize
    for n in range(0, neurons, step):
        base = column_of(n, step, width, columns, rows)
        if neurons - n >= step:
            _advance(
                x, table, membrane, window, spikes, final, following, n, base, neurons, k, exponent, squarings, kind, level,
                whole(x),
            )  # fmt: skip
        else:
            _advance(
                x, table, membrane, window, spikes, final, following, n, base, neurons, k, exponent, squarings, kind, level,
                part(x, neurons - n),
            )  # fmt: skip
    if not table_at:
        release(table)


@inline
def _advance(
    x, table, membrane, window, spikes, final, following, n, base, neurons, k, exponent, squarings, kind, level, group
):  # fmt: skip
    gate, newest = tapped(table, base, load(table, base, whole(x)), x, window, following, n, neurons, k, group)
    decay, leak, _ = dynamic_gate(shut(gate, squarings), exponent, squarings)
    h = fma(decay, load(membrane, n, group), leak * newest)
    store(spikes, n, fire(h, kind, level), group)
    store(final, n, h, group)


def table_of_step(weight: Tensor, bias: Tensor, x_t: Tensor) -> Tensor:
    """The taps as `call_of_step` takes them."""
    _, layout = _layout_of_step(x_t.shape, weight.dtype)
    return tabulated(weight, bias, layout, -LOG2_E)


def call_of_step(
    x_t: Tensor,
    table: Tensor,
    k: int,
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor, Tensor],
    exponent: float,
    kind: int,
    numbers: list[float],
) -> Call:
    """The kernel of `step` that writes spikes, membrane and window `after` it; the state may be written in place."""
    membrane, window = before
    spikes, membrane_after, window_after = after
    return _step, (
        0, 0, table.data_ptr(), x_t.data_ptr(), membrane.data_ptr(), window.data_ptr(), spikes.data_ptr(),
        membrane_after.data_ptr(), window_after.data_ptr(), *_constants_of_step(x_t.shape, k, table.dtype, exponent, kind),
        numbers[0],
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _constants_of_step(shape: torch.Size, k: int, dtype: torch.dtype, exponent: float, kind: int) -> tuple[Any, ...]:
    """What calls of `step` have in common."""
    like, layout = _layout_of_step(shape, dtype)
    return like, *layout, k, rows_of(k), exponent, _squarings(exponent), static(kind)


def _layout_of_step(shape: torch.Size, dtype: torch.dtype) -> tuple[Any, Columns]:
    like = number_like(torch.empty(0, dtype=dtype))
    return like, Columns.of((shape[0], shape[1], shape[2:].numel()), like.itemsize)


def backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    kept: Tensor,
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
    of_final = membrane[:0] if grad_membrane is None else grad_membrane.contiguous()
    grad_x, grad_h, grad_window = torch.empty_like(inputs), torch.empty_like(membrane), torch.empty_like(window)
    count = parts(neurons, 3 * x.shape[0], grain)
    rows = rows_of(k)
    totals = weight.new_zeros(count, layout.columns * rows)
    of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    tensors = (
        inputs, weight, bias, membrane, window, kept, limits, grad_spikes.to(inputs.dtype), of_final,
        grad_x, grad_h, grad_window,
    )  # fmt: skip
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    cut, squarings = tiling(neurons, k, membrane.itemsize), _squarings(exponent)
    past_cache = is_past_cache(neurons, grad_x)

    def run(part: int, low: int, high: int) -> None:
        _backward(
            *addresses, totals[part].data_ptr(), number_like(membrane), low, high, x.shape[0], window.shape[0], kept.shape[0],
            *layout, *cut, k, rows, exponent, squarings, static(kind), *numbers, lengths is not None, membrane.shape[0] == 0,
            grad_membrane is not None, past_cache,
        )  # fmt: skip

    spread(run, neurons, grain, count)
    total(
        totals.data_ptr(), of_weight.data_ptr(), of_bias.data_ptr(), number_like(membrane), count, k, rows, layout.channels,
        layout.space, layout.columns, -LOG2_E,
    )  # fmt: skip
    return grad_x.to(x.dtype), of_weight, of_bias, grad_h, grad_window
