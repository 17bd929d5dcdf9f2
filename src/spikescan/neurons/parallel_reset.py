r"""A leaky integrate-and-fire neuron with a reset, in parallel over time: three ways to its spikes, and their gradient.

All solve, with the drive :math:`c_t` and the decay b,

.. math:: H_t = b V_{t-1} + c_t, \quad S_t = \text{fire}(H_t), \quad V_t = H_t - \theta S_t
    \;\text{(soft reset)}, \quad H_t [S_t = 0] \;\text{(hard)}

theta is the threshold, or 1 for integer spikes. On a CPU the fused sweep that walks through time once is faster than any of
them (docs/performance/resets.csv). They agree with it to rounding: a membrane within rounding of its threshold may fire in
one and not in the other, and what follows then differs. `speculative_spikes` does the sweep's own operations, so that its
spikes are the sweep's bit by bit.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from spikescan import ops
from spikescan.errors import InputError
from spikescan.neurons.padding import at_last_valid, zero_padding
from spikescan.ops._checks import check_lengths, check_state, compute_dtype
from spikescan.ops._register import register
from spikescan.ops.fire.reference import derivative
from spikescan.ops.sweep import Cell, detach

__all__ = [
    "FixedPoint",
    "Speculation",
    "decoupled_spikes",
    "fixed_point_spikes",
    "potential_by_fft",
    "run",
    "speculative_spikes",
]

ParallelMethod = Literal["decoupled", "fixed_point", "speculative"]
ResetName = Literal["soft", "hard"]


def run(
    method: ParallelMethod,
    x: Tensor,
    parameters: tuple[Tensor, ...],
    *,
    firing: ops.FiringSpec,
    reset: ResetName,
    detach_reset: bool,
    state: tuple[Tensor | None, ...],
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """What `ops.sweep` gives, by `method`: spikes, and V after the last valid step, with all gradients.

    x ``[T, B, C, *]``; the parameters, decay and gain, ``[C]`` each; the state is V before the first step.
    """
    (membrane,), (decay, gain) = state, parameters
    check_state(method, "membrane", membrane, tuple(x.shape[1:]), x)
    check_lengths(method, lengths, x.shape[0], x.shape[1], x)
    x, dtype = zero_padding(x, lengths), compute_dtype(x)
    initial = x.new_zeros(x.shape[1:], dtype=dtype) if membrane is None else membrane
    decay, gain = decay.to(dtype), gain.to(dtype)
    if method == "decoupled":
        return decoupled_spikes(x, decay, gain, membrane, firing=firing, detach_reset=detach_reset, lengths=lengths)
    drive = _over_channels(gain, x) * x.to(dtype)
    with torch.no_grad():
        if method == "fixed_point":
            spikes, charged, *_ = fixed_point_spikes(drive, decay, initial, firing=firing)
        else:
            spikes, charged, _ = speculative_spikes(drive, decay, initial, firing=firing, reset=reset)
    spikes, after = _with_gradient(spikes, charged, drive, decay, initial, firing, reset, detach_reset)
    return zero_padding(spikes, lengths).to(x.dtype), at_last_valid(after, initial, lengths)


# --- decoupled reset -------------------------------------------------------------------------------------------------


def _decoupled(detach_reset: bool) -> Cell:
    """The membrane that nothing resets, U, and the resets so far, R, which U has to exceed besides the threshold.

    The decay of U is b, or 0 where x is U already.
    """

    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (u, r), (decay_of_u, gain, decay) = state, parameters
        u = decay_of_u * u + gain * x
        a = decay * r
        s = fire(u - a * fire.unit)
        return s, (u, a + (detach(s) if detach_reset else s))

    return Cell(step, states=("potential", "raised"), parameters=("decay_of_potential", "gain", "decay"))


_DECOUPLED = {detach_reset: _decoupled(detach_reset) for detach_reset in (True, False)}


def decoupled_spikes(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    initial: Tensor | None,
    *,
    firing: ops.FiringSpec,
    detach_reset: bool = True,
    potential: Literal["scan", "fft"] = "scan",
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The soft reset, decoupled from the membrane (PRF, arXiv 2410.03530, Algorithm 2).

    .. math::
        U_t &= b U_{t-1} + g x_t \\
        A_t &= b (A_{t-1} + S_{t-1}) \\
        S_t &= [U_t \ge \theta (1 + A_t)] = \text{fire}(U_t - \theta A_t)

    since unrolling the reset gives H_t = U_t - theta A_t. With R_t = A_t + S_t the membrane after the reset is
    V_t = U_t - theta R_t; a run starts at U_0 = V_0, A_0 = 0. Integer spikes are taken off alike, with theta = 1. (The paper's
    main text has A_t = A_{t-1} + S_{t-1} against theta (1 + b A_t), which is the same for b = 1 only.)

    U does not see the resets: with little leak it grows far beyond H, and its rounding errors with it. The walk over A is as
    long as the sweep's, so both recurrences are walked in one kernel: U by a scan of its own was two to three times slower.

    Args:
        x: ``[T, B, C, *]``.
        decay: b, ``[C]``.
        gain: g, ``[C]``.
        initial: V before the first step, ``[B, C, *]``; None is zero.
        firing: what turns the membrane into spikes.
        detach_reset: no gradient through the spikes in A.
        potential: how U is computed: in the same walk, or before it by `potential_by_fft`.
        lengths: int64 ``[B]``, valid steps; None is all T.

    Returns:
        Spikes ``[T, B, C, *]`` in the dtype of x, and V after the last valid step. All inputs have the gradients of the
        sequential neuron.
    """
    if potential not in ("scan", "fft"):
        raise InputError(f"decoupled_spikes: potential is {potential!r}, expected 'scan' or 'fft'.")
    decay_of_u = decay
    if potential == "fft":
        x = potential_by_fft(_over_channels(gain, x) * x, decay, initial)
        decay_of_u, gain = torch.zeros_like(decay), torch.ones_like(gain)
    spikes, (u, r) = ops.sweep(
        _DECOUPLED[detach_reset],
        x,
        (decay_of_u, gain, decay),
        firing=firing,
        state=None if initial is None else (initial, None),
        lengths=lengths,
    )
    return spikes, torch.sub(u, r, alpha=firing.unit)


def potential_by_fft(drive: Tensor, decay: Tensor, initial: Tensor | None = None) -> Tensor:
    """U_t = b U_{t-1} + c_t by Fourier transforms: the causal convolution with (1, b, b^2, ...), padded to 2 T.

    Its rounding errors are those of the largest potential, at every step (PRF, arXiv 2410.03530, section 4).

    Args:
        drive: c, ``[T, B, C, *]``, float32 or float64.
        decay: b, ``[C]``.
        initial: ``[B, C, *]``; None is zero.
    """
    steps = len(drive)
    if not steps:
        return drive
    powers = decay ** torch.arange(steps + 1, device=drive.device, dtype=drive.dtype).unsqueeze(-1)
    powers = powers.view(steps + 1, 1, -1, *[1] * (drive.ndim - 3))
    spectrum = torch.fft.rfft(drive, 2 * steps, dim=0) * torch.fft.rfft(powers[:-1], 2 * steps, dim=0)
    driven: Tensor = torch.fft.irfft(spectrum, 2 * steps, dim=0)[:steps]
    return driven if initial is None else driven + powers[1:] * initial


# --- fixed point -----------------------------------------------------------------------------------------------------


class FixedPoint(NamedTuple):
    """What `fixed_point_spikes` found."""

    spikes: Tensor
    """``[T, B, C, *]``."""
    membrane: Tensor
    """H, of which they are the spikes, ``[T, B, C, *]``."""
    iterations: Tensor
    """How often each neuron's spikes were computed again, int64 ``[B, C, *]``."""
    unsettled: Tensor
    """How many steps of each neuron the last iteration changed, int64 ``[B, C, *]``; 0 is solved."""


@torch.no_grad()
def fixed_point_spikes(
    drive: Tensor, decay: Tensor, initial: Tensor, *, firing: ops.FiringSpec, iterations: int | None = None
) -> FixedPoint:
    r"""The soft reset, as a fixed point over all of time (FPT, Feng et al., ICML 2025, arXiv 2506.12087).

    .. math::
        S^{(0)} &= \text{fire}(\Lambda c), \quad \Lambda_{ti} = b^{t-i} \;\text{for}\; t \ge i \\
        S^{(j)} &= \text{fire}(\Lambda c - \theta (\Lambda - I) S^{(j-1)})

    Each iteration is a linear recurrence, H_t = b H_{t-1} + (c_t - b theta S_{t-1}) with the spikes of the iteration before.
    Iteration j leaves the first j + 1 steps right, so that at most T of them settle; neurons that have settled are left out of
    the next. Here fire is the step itself, where FPT trains with a sigmoid in its place and samples the spikes.

    Args:
        drive: c, ``[T, B, C, *]``, float32 or float64.
        decay: b, ``[C]``.
        initial: V before the first step, ``[B, C, *]``.
        firing: what turns the membrane into spikes.
        iterations: at most so many (FPT has 3); None is until all have settled. `FixedPoint.unsettled` says what is left.

    Returns:
        A `FixedPoint`, without gradients.

    Raises:
        InputError: `iterations` is less than 1.
    """
    if iterations is not None and iterations < 1:
        raise InputError(f"fixed_point_spikes: iterations is {iterations}, expected at least 1, or None.")
    limit = len(drive) if iterations is None else min(iterations, len(drive))
    spikes, membrane, *counts = _fixed_point(*_flat(drive, decay, initial), int(firing.kind), firing.numbers, limit)
    shape = drive.shape
    return FixedPoint(spikes.view(shape), membrane.view(shape), *(each.view(shape[1:]) for each in counts))


def _fake_fixed_point(
    drive: Tensor, decay: Tensor, initial: Tensor, kind: int, numbers: list[float], limit: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    counts = torch.empty_like(initial, dtype=torch.int64)
    return torch.empty_like(drive), torch.empty_like(drive), counts, torch.empty_like(counts)


# An operator, because how long it runs depends on the spikes: a tracer sees only what comes out.
@register("fixed_point_spikes", _fake_fixed_point)
def _fixed_point(
    drive: Tensor, decay: Tensor, initial: Tensor, kind: int, numbers: list[float], limit: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    firing = ops.FiringSpec(ops.Kind(kind), *numbers)
    membrane, _ = ops.linear_recurrence(decay, drive, initial)
    spikes = ops.fire(membrane, firing)
    iterations = torch.zeros_like(initial, dtype=torch.int64)
    unsettled = torch.zeros_like(iterations)
    active = torch.arange(len(initial), device=drive.device)
    for _ in range(limit):
        if not len(active):
            break
        before = spikes[:, active]
        kicked = drive[:, active]
        kicked[1:] -= firing.unit * decay[active] * before[:-1]
        h, _ = ops.linear_recurrence(decay[active], kicked, initial[active])
        s = ops.fire(h, firing)
        changes = (s != before).sum(0)
        membrane[:, active], spikes[:, active] = h, s
        iterations[active] += 1
        unsettled[active] = changes
        active = active[changes > 0]
    return spikes, membrane, iterations, unsettled


# --- speculation -----------------------------------------------------------------------------------------------------


class Speculation(NamedTuple):
    """What `speculative_spikes` found."""

    spikes: Tensor
    """``[T, B, C, *]``."""
    membrane: Tensor
    """H, of which they are the spikes, ``[T, B, C, *]``."""
    rounds: Tensor
    """How many chunks each neuron took, int64 ``[B, C, *]``; at most its spikes plus T / chunk, rounded up."""


@torch.no_grad()
def speculative_spikes(
    drive: Tensor,
    decay: Tensor,
    initial: Tensor,
    *,
    firing: ops.FiringSpec,
    reset: ResetName = "hard",
    chunk: int = 128,
) -> Speculation:
    """A soft or hard reset by speculation: a chunk without a spike is a linear recurrence.

    Each neuron runs `chunk` steps from where it stands as if it did not fire, keeps them up to its first spike, resets, and
    goes on behind it: Bullet Trains (Morrill et al., 2026, arXiv 2603.13283), on a grid of steps instead of events. It
    takes as many rounds as the busiest neuron has spikes, so it is for sparse firing.

    The operations on the steps that are kept are those of the sweep in its order: the same bits.

    Args:
        drive: c, ``[T, B, C, *]``, float32 or float64.
        decay: b, ``[C]``.
        initial: V before the first step, ``[B, C, *]``.
        firing: what turns the membrane into spikes.
        reset: "soft" or "hard".
        chunk: steps that are tried at once; about the distance between two spikes is best.

    Returns:
        A `Speculation`, without gradients.

    Raises:
        InputError: `chunk` is less than 1.
    """
    if chunk < 1:
        raise InputError(f"speculative_spikes: chunk is {chunk}, expected at least 1 (step).")
    flat = _flat(drive, decay, initial)
    chunk = min(chunk, max(len(drive), 1))
    spikes, membrane, rounds = _speculate(*flat, int(firing.kind), firing.numbers, reset == "hard", chunk)
    return Speculation(spikes.view(drive.shape), membrane.view(drive.shape), rounds.view(drive.shape[1:]))


def _fake_speculate(
    drive: Tensor, decay: Tensor, initial: Tensor, kind: int, numbers: list[float], hard: bool, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(drive), torch.empty_like(drive), torch.empty_like(initial, dtype=torch.int64)


@register("speculative_spikes", _fake_speculate)
def _speculate(
    drive: Tensor, decay: Tensor, initial: Tensor, kind: int, numbers: list[float], hard: bool, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    firing = ops.FiringSpec(ops.Kind(kind), *numbers)
    steps, neurons = drive.shape
    # Room for the steps that a last chunk tries beyond the end.
    drive = torch.cat([drive, drive.new_zeros(chunk, neurons)])
    spikes, membrane = torch.zeros_like(drive), torch.zeros_like(drive)
    rounds = torch.zeros_like(initial, dtype=torch.int64)
    ahead = torch.arange(chunk, device=drive.device).unsqueeze(-1)
    position = torch.zeros_like(rounds)
    v = initial.clone()
    active = torch.arange(neurons, device=drive.device) if steps else rounds[:0]
    while len(active):
        rows = position[active] + ahead
        h, _ = ops.linear_recurrence(decay[active], drive[rows, active], v[active])
        s = ops.fire(h, firing)
        fired = s > 0
        first = torch.where(fired.any(0), fired.to(torch.uint8).argmax(0), chunk - 1).unsqueeze(0)
        # What lies behind the first spike is written again by the rounds to come.
        spikes[rows, active] = s
        membrane[rows, active] = h
        v[active] = _reset(h.gather(0, first), s.gather(0, first), firing, hard)[0]
        position[active] += first[0] + 1
        rounds[active] += 1
        active = active[position[active] < steps]
    return spikes[:steps].clone(), membrane[:steps].clone(), rounds


# --- what they share -------------------------------------------------------------------------------------------------


def _reset(h: Tensor, s: Tensor, firing: ops.FiringSpec, hard: bool) -> Tensor:
    """V of a membrane and its spikes."""
    return torch.where(s > 0, 0.0, h) if hard else h - firing.unit * s


def _over_channels(values: Tensor, x: Tensor) -> Tensor:
    """``[C]`` as it broadcasts to x ``[T, B, C, *]``."""
    return values.view(-1, *[1] * (x.ndim - 3))


def _flat(drive: Tensor, decay: Tensor, initial: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Drive ``[T, N]``, decay ``[N]`` and initial ``[N]`` over all neurons."""
    neurons = drive.shape[1:]
    decays = _over_channels(decay, drive).expand(neurons).reshape(-1)
    return drive.reshape(len(drive), neurons.numel()).contiguous(), decays, initial.reshape(-1)


def _with_gradient(
    spikes: Tensor,
    charged: Tensor,
    drive: Tensor,
    decay: Tensor,
    initial: Tensor,
    firing: ops.FiringSpec,
    reset: ResetName,
    detach_reset: bool,
) -> tuple[Tensor, Tensor]:
    r"""Spikes and V after each step, with the gradient of the sequential neuron at the spikes that were found.

    Along given spikes the equations are linear in a small change of what goes in, so that their derivative is a linear
    recurrence too, with the surrogate's :math:`\sigma'` for that of fire:

    .. math::
        dH_t &= b \, k_{t-1} \, dH_{t-1} + (c_t + b V_{t-1})' , \quad k_t = dV_t / dH_t \\
        k_t &= 1 - \theta \sigma'(H_t) \;\text{(soft)}, \quad [S_t = 0] - H_t \sigma'(H_t) \;\text{(hard)}

    without the terms in sigma' where the reset is detached. It is run on zeros that have a gradient, and added.
    """
    hard = reset == "hard"
    with torch.no_grad():
        after = _reset(charged, spikes, firing, hard)
    if not (torch.is_grad_enabled() and (drive.requires_grad or decay.requires_grad or initial.requires_grad)):
        return spikes, after
    decays = _over_channels(decay, drive)
    before = torch.cat([initial.unsqueeze(0), after])[: len(after)]
    charge = decays * before + drive
    with torch.no_grad():
        kept = (spikes == 0).to(charged.dtype) if hard else torch.ones_like(charged)
        # An integer spike resets the membrane as a whole: that has no gradient.
        if not detach_reset and not (hard and firing.kind == ops.Kind.INTEGER):
            slope = derivative(charged, int(firing.kind), firing.numbers)
            kept -= (charged if hard else firing.unit) * slope
        passed_on = torch.cat([torch.zeros_like(kept[:1]), decays * kept[:-1]])
    change, _ = ops.linear_recurrence(passed_on, charge - charge.detach())
    return ops.fire(charged + change, firing), after + kept * change
