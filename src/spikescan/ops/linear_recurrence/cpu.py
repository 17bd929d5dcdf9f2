"""The linear recurrence as two sweeps over time, each neuron in a lane of a vector.

A complex number is two lanes, its real part and its imaginary part as they lie in memory. `pairs` says so: a tuple of one item
for complex numbers and of none for real ones, so that each has a kernel of its own.
"""

import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    full,
    load,
    move,
    part,
    prefetch,
    put,
    release,
    row,
    scratch,
    static,
    store,
    times,
    times_conjugate,
    upcoming,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import is_past_cache, tiling
from spikescan.ops.stepping.link import Call


@inline
def _forward_tile(
    decay, drive, states, carried, n, slot, ahead, first, last, neurons, stride, pairs, past_cache, group
):  # fmt: skip
    h = load(carried, slot, whole(drive))
    for t in range(first, last):
        at = t * neurons + n
        prefetch(drive, ahead, group)
        if stride > 0:
            prefetch(decay, ahead, group)
        ahead += BYTES // drive.itemsize
        h = times(load(decay, t * stride + n, group), h, load(drive, at, group), pairs)
        put(states, at, h, past_cache, group)
    store(carried, slot, h, whole(drive))


@kernel
def _forward(
    decay_at, drive_at, initial_at, states_at, final_at, like, low, high, steps, neurons, rows, block, tile, pairs, past_cache
):  # fmt: skip
    decay, drive, states = (
        row(decay_at, rows * neurons, like),
        row(drive_at, steps * neurons, like),
        row(states_at, steps * neurons, like),
    )
    initial, final = row(initial_at, neurons, like), row(final_at, neurons, like)
    stride = neurons if rows > 1 else 0
    step, tile = BYTES // drive.itemsize, max(min(tile, steps), 1)
    carried = scratch(block, drive)
    for start in range(low, high, block):
        stop = min(start + block, high)
        move(initial, start, carried, 0, stop - start)
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            following = last * neurons + start if last < steps else stop
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = n - start
                if stop - n >= step:
                    _forward_tile(
                        decay, drive, states, carried, n, slot, ahead, first, last, neurons, stride, pairs, past_cache,
                        whole(drive),
                    )  # fmt: skip
                else:
                    _forward_tile(
                        decay, drive, states, carried, n, slot, ahead, first, last, neurons, stride, pairs, past_cache,
                        part(drive, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
        move(carried, 0, final, start, stop - start)
    release(carried)


@inline
def _backward_tile(
    grad, decay, states, initial, grad_decay, grad_drive, carried, sums, n, slot, ahead, first, last, neurons, stride,
    learning, pairs, past_cache, group,
):  # fmt: skip
    later, total = load(carried, slot, whole(grad_drive)), load(sums, slot, whole(grad_drive))
    zero = full(0.0, later)
    for t in range(last - 1, first - 1, -1):
        at = t * neurons + n
        d = later
        if grad.size > 0:
            d = d + load(grad, at, group)
            prefetch(grad, ahead, group)
        if learning:
            before = load(states, at - neurons, group) if t > 0 else load(initial, n, group)
            prefetch(states, ahead - neurons, group)
            if stride == 0:
                total = times_conjugate(before, d, total, pairs)
            else:
                put(grad_decay, at, times_conjugate(before, d, zero, pairs), past_cache, group)
        if stride > 0:
            prefetch(decay, ahead, group)
        ahead += BYTES // grad_drive.itemsize
        put(grad_drive, at, d, past_cache, group)
        later = times_conjugate(load(decay, t * stride + n, group), d, zero, pairs)
    store(carried, slot, later, whole(grad_drive))
    store(sums, slot, total, whole(grad_drive))


@kernel
def _backward(
    grad_at, grad_final_at, decay_at, states_at, initial_at, grad_decay_at, grad_drive_at, grad_initial_at, like,
    low, high, steps, neurons, rows, has_grad, learning, block, tile, pairs, past_cache,
):  # fmt: skip
    grad = row(grad_at, steps * neurons if has_grad else 0, like)
    states = row(states_at, steps * neurons if learning else 0, like)
    grad_final, initial = row(grad_final_at, neurons, like), row(initial_at, neurons, like)
    decay, grad_decay = row(decay_at, rows * neurons, like), row(grad_decay_at, rows * neurons if learning else 0, like)
    grad_drive, grad_initial = row(grad_drive_at, steps * neurons, like), row(grad_initial_at, neurons, like)
    stride = neurons if rows > 1 else 0
    step, tile = BYTES // grad_drive.itemsize, max(min(tile, steps), 1)
    carried, sums = scratch(block, grad_drive), scratch(block, grad_drive)
    for start in range(low, high, block):
        stop = min(start + block, high)
        move(grad_final, start, carried, 0, stop - start)
        sums[:] = 0.0
        for last in range(steps, 0, -tile):
            first = max(last - tile, 0)
            following = max(first - tile, 0) * neurons + start if first > 0 else (steps - tile) * neurons + stop
            ahead, asked = following, 0
            for n in range(start, stop, step):
                slot = n - start
                if stop - n >= step:
                    _backward_tile(
                        grad, decay, states, initial, grad_decay, grad_drive, carried, sums, n, slot, ahead, first, last,
                        neurons, stride, learning, pairs, past_cache, whole(grad_drive),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        grad, decay, states, initial, grad_decay, grad_drive, carried, sums, n, slot, ahead, first, last,
                        neurons, stride, learning, pairs, past_cache, part(grad_drive, stop - n),
                    )  # fmt: skip
                ahead, asked = upcoming(ahead, asked, stop - start, tile, step, neurons)
        move(carried, 0, grad_initial, start, stop - start)
        if stride == 0 and grad_decay.size > 0:
            move(sums, 0, grad_decay, start, stop - start)
    release(carried)
    release(sums)


def _lanes(tensor: Tensor) -> Tensor:
    """Numbers as lanes: a complex tensor as a real one with twice as many neurons."""
    return torch.view_as_real(tensor).flatten(-2) if tensor.is_complex() else tensor


def forward(decay: Tensor, drive: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """As the reference's `forward`."""
    states, final = torch.empty_like(drive), torch.empty_like(initial)
    decays, drives = _lanes(decay), _lanes(drive)
    addresses = tuple(tensor.data_ptr() for tensor in (decays, drives, initial, states, final))
    steps, neurons = drives.shape
    cut, past_cache = tiling(neurons, 1, drives.itemsize), is_past_cache(neurons, _lanes(states))

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(drives), low, high, steps, neurons, decay.shape[0], *cut, static(drive.is_complex()),
            past_cache,
        )  # fmt: skip

    grain = BYTES // drives.itemsize
    spread(run, neurons, grain, parts(neurons, steps, grain))
    return states, final


def call_of_step(decay: Tensor, drive: Tensor, state: Tensor, y: Tensor) -> Call:
    """The kernel of `forward` for one step of real numbers of one shape, with its bits: from `state`, over it, and to y."""
    addresses = tuple(tensor.data_ptr() for tensor in (decay, drive, state, y, state))
    neurons = drive.numel()
    block, tile = tiling(neurons, 1, drive.itemsize)
    return _forward, (*addresses, number_like(drive), 0, neurons, 1, neurons, 1, block, tile, static(False), False)


def backward(
    grad_states: Tensor | None,
    grad_final: Tensor | None,
    decay: Tensor,
    states: Tensor | None,
    initial: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of decay, drive and initial; without the states that of decay is left out and has no rows."""
    learning, has_grad = states is not None, grad_states is not None
    of_final = torch.zeros_like(initial) if grad_final is None else grad_final.contiguous()
    nothing = decay[:0]
    grad_decay = torch.empty_like(decay if learning else nothing)
    grad_drive, grad_initial = initial.new_empty(steps, *initial.shape), torch.empty_like(initial)
    given = (
        nothing if grad_states is None else grad_states,
        of_final,
        decay,
        nothing if states is None else states,
        initial,
    )
    addresses = tuple(tensor.data_ptr() for tensor in (*given, grad_decay, grad_drive, grad_initial))
    lanes = _lanes(grad_drive)
    neurons = lanes.shape[1]
    past_cache = is_past_cache(neurons, lanes, grad_decay)

    def run(_: int, low: int, high: int) -> None:
        _backward(
            *addresses, number_like(lanes), low, high, steps, neurons, decay.shape[0], has_grad, learning,
            *tiling(neurons, 1, lanes.itemsize), static(decay.is_complex()), past_cache,
        )  # fmt: skip

    grain = BYTES // lanes.itemsize
    spread(run, neurons, grain, parts(neurons, steps, grain))
    return grad_decay, grad_drive, grad_initial
