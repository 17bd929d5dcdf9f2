"""The linear recurrence as two sweeps over time, each neuron in a lane of a vector; complex numbers as pairs of vectors."""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, fma, load, part, row, store, whole
from spikescan.ops._threads import parts, spread
from spikescan.ops._tiling import tiling


@inline
def _forward_tile(decay, drive, states, carried, n, slot, first, last, neurons, stride, group):
    h = load(carried, slot, group)
    for t in range(first, last):
        at = t * neurons + n
        h = fma(load(decay, t * stride + n, group), h, load(drive, at, group))
        store(states, at, h, group)
    store(carried, slot, h, group)


@kernel
def _forward(
    decay_at, drive_at, initial_at, states_at, final_at, like, low, high, steps, neurons, rows, block, tile
):  # fmt: skip
    decay, drive, states = (
        row(decay_at, rows * neurons, like),
        row(drive_at, steps * neurons, like),
        row(states_at, steps * neurons, like),
    )
    initial, final = row(initial_at, neurons, like), row(final_at, neurons, like)
    stride = neurons if rows > 1 else 0
    step = BYTES // drive.itemsize
    carried = np.empty(block, drive.dtype)
    for start in range(low, high, block):
        stop = min(start + block, high)
        carried[: stop - start] = initial[start:stop]
        for first in range(0, steps, tile):
            last = min(first + tile, steps)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _forward_tile(
                        decay, drive, states, carried, n, n - start, first, last, neurons, stride, whole(drive)
                    )
                else:
                    group = part(drive, stop - n)
                    _forward_tile(decay, drive, states, carried, n, n - start, first, last, neurons, stride, group)
        final[start:stop] = carried[: stop - start]


@inline
def _backward_tile(
    grad, decay, states, initial, grad_decay, grad_drive, carried, sums, n, slot, first, last, neurons, stride, group
):
    d = load(carried, slot, group)
    constant = stride == 0
    total = load(sums, slot, group)
    for t in range(last - 1, first - 1, -1):
        at = t * neurons + n
        if grad.size > 0:
            d = d + load(grad, at, group)
        before = load(states, at - neurons, group) if t > 0 else load(initial, n, group)
        if constant:
            total = fma(d, before, total)
        else:
            store(grad_decay, at, d * before, group)
        store(grad_drive, at, d, group)
        d = d * load(decay, t * stride + n, group)
    store(carried, slot, d, group)
    store(sums, slot, total, group)


@kernel
def _backward(
    grad_at, grad_final_at, decay_at, states_at, initial_at, grad_decay_at, grad_drive_at, grad_initial_at, like,
    low, high, steps, neurons, rows, has_grad, block, tile,
):  # fmt: skip
    grad, states = row(grad_at, steps * neurons if has_grad else 0, like), row(states_at, steps * neurons, like)
    grad_final, initial = row(grad_final_at, neurons, like), row(initial_at, neurons, like)
    decay, grad_decay = row(decay_at, rows * neurons, like), row(grad_decay_at, rows * neurons, like)
    grad_drive, grad_initial = row(grad_drive_at, steps * neurons, like), row(grad_initial_at, neurons, like)
    stride = neurons if rows > 1 else 0
    step = BYTES // states.itemsize
    carried = np.empty(block, states.dtype)
    for start in range(low, high, block):
        stop = min(start + block, high)
        carried[: stop - start] = grad_final[start:stop]
        sums = np.zeros(block, states.dtype)
        for last in range(steps, 0, -tile):
            first = max(last - tile, 0)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _backward_tile(
                        grad, decay, states, initial, grad_decay, grad_drive, carried, sums, n, n - start, first, last,
                        neurons, stride, whole(states),
                    )  # fmt: skip
                else:
                    _backward_tile(
                        grad, decay, states, initial, grad_decay, grad_drive, carried, sums, n, n - start, first, last,
                        neurons, stride, part(states, stop - n),
                    )  # fmt: skip
        grad_initial[start:stop] = carried[: stop - start]
        if stride == 0 and grad_decay.size > 0:
            grad_decay[start:stop] = sums[: stop - start]


@kernel
def _forward_complex(
    decay_at, drive_at, initial_at, states_at, final_at, like, low, high, steps, neurons, rows, block, tile
):  # fmt: skip
    decay, drive, states = (
        row(decay_at, rows * neurons, like),
        row(drive_at, steps * neurons, like),
        row(states_at, steps * neurons, like),
    )
    initial, final = row(initial_at, neurons, like), row(final_at, neurons, like)
    stride = neurons if rows > 1 else 0
    h = initial[low:high].copy()
    for t in range(steps):
        now = states[t * neurons + low : t * neurons + high]
        decays = decay[t * stride + low : t * stride + high]
        drives = drive[t * neurons + low : t * neurons + high]
        for n in range(high - low):
            h[n] = decays[n] * h[n] + drives[n]
            now[n] = h[n]
    final[low:high] = h


@kernel
def _backward_complex(
    grad_at, grad_final_at, decay_at, states_at, initial_at, grad_decay_at, grad_drive_at, grad_initial_at, like,
    low, high, steps, neurons, rows, has_grad, block, tile,
):  # fmt: skip
    grad, states = row(grad_at, steps * neurons if has_grad else 0, like), row(states_at, steps * neurons, like)
    grad_final, initial = row(grad_final_at, neurons, like), row(initial_at, neurons, like)
    decay, grad_decay = row(decay_at, rows * neurons, like), row(grad_decay_at, rows * neurons, like)
    grad_drive, grad_initial = row(grad_drive_at, steps * neurons, like), row(grad_initial_at, neurons, like)
    stride = neurons if rows > 1 else 0
    d = grad_final[low:high].copy()
    for t in range(steps - 1, -1, -1):
        now = t * neurons
        before = states[now - neurons + low : now - neurons + high] if t > 0 else initial[low:high]
        decays = decay[t * stride + low : t * stride + high]
        of_drive = grad_drive[now + low : now + high]
        of_decay = grad_decay[t * stride + low : t * stride + high]
        if grad.size > 0:
            grads = grad[now + low : now + high]
            for n in range(high - low):
                d[n] += grads[n]
        for n in range(high - low):
            of_drive[n] = d[n]
            # A row that serves every step starts at zero and sums over them.
            of_decay[n] += d[n] * before[n].conjugate()
            d[n] = d[n] * decays[n].conjugate()
    grad_initial[low:high] = d


def forward(decay: Tensor, drive: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """As the reference's `forward`."""
    steps, neurons = drive.shape
    states, final = torch.empty_like(drive), torch.empty_like(initial)
    addresses = tuple(tensor.data_ptr() for tensor in (decay, drive, initial, states, final))
    sweep = _forward_complex if drive.is_complex() else _forward
    block, tile = tiling(neurons, drive.itemsize)

    def run(_: int, low: int, high: int) -> None:
        sweep(*addresses, number_like(drive), low, high, steps, neurons, decay.shape[0], block, tile)

    grain = BYTES // drive.itemsize
    spread(run, neurons, grain, parts(neurons, steps, grain))
    return states, final


def backward(
    grad_states: Tensor | None, grad_final: Tensor | None, decay: Tensor, states: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of decay, drive and initial."""
    steps, neurons = states.shape
    grads = states.new_empty(0) if grad_states is None else grad_states
    of_final = torch.zeros_like(initial) if grad_final is None else grad_final.contiguous()
    # A row of decays that serves every step collects a sum, which starts at zero; so does the complex sweep, for any.
    collects = states.is_complex() or decay.shape[0] != steps or steps < 2
    grad_decay = torch.zeros_like(decay) if collects else torch.empty_like(decay)
    targets = (grad_decay, torch.empty_like(states), torch.empty_like(initial))
    addresses = tuple(tensor.data_ptr() for tensor in (grads, of_final, decay, states, initial, *targets))
    sweep = _backward_complex if states.is_complex() else _backward
    block, tile = tiling(neurons, states.itemsize)
    has_grad = grad_states is not None

    def run(_: int, low: int, high: int) -> None:
        sweep(*addresses, number_like(states), low, high, steps, neurons, decay.shape[0], has_grad, block, tile)

    grain = BYTES // states.itemsize
    spread(run, neurons, grain, parts(neurons, steps, grain))
    return targets
