"""Leaky integration with a reset: the serial baseline, a cell run by `sweep`."""

import itertools
from enum import IntEnum
from typing import Any

from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops.sweep import Cell, detach, sweep, where

__all__ = ["Reset", "leaky_cell", "leaky_integration"]


class Reset(IntEnum):
    """What a spike does to the membrane: nothing, minus spike * unit, or back to zero."""

    NONE = 0
    SOFT = 1
    HARD = 2


def _leaky(reset: Reset, detach_reset: bool, integer: bool) -> Cell:
    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (v,), (decay, gain) = state, parameters
        h = decay * v + gain * x
        s = fire(h)
        resetting = detach(s) if detach_reset else s
        if reset == Reset.SOFT:
            v = h - resetting * fire.unit
        elif reset == Reset.HARD:
            # Any number of integer spikes resets the membrane as a whole, so that their gradient has no part in it.
            v = where(s > 0.0, 0.0, h) if integer else h * (1.0 - resetting)
        else:
            v = h
        return s, (v,)

    return Cell(step, states=("membrane",), parameters=("decay", "gain"))


_BOTH = (True, False)
_CELLS = {options: _leaky(*options) for options in itertools.product(Reset, _BOTH, _BOTH)}


def leaky_cell(reset: Reset, detach_reset: bool, firing: FiringSpec) -> Cell:
    """The step of `leaky_integration`: one state, V, and two parameters, decay and gain."""
    return _CELLS[reset, detach_reset, firing.kind == Kind.INTEGER]


def leaky_integration(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    *,
    firing: FiringSpec,
    reset: Reset,
    detach_reset: bool = True,
    membrane: Tensor | None = None,
    lengths: Tensor | None = None,
    recompute: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Integrate, fire, reset.

    .. math::
        H_t &= \text{decay} \cdot V_{t-1} + \text{gain} \cdot x_t \\
        S_t &= \text{fire}(H_t) \\
        V_t &= H_t \;\text{(no reset)}, \quad H_t - \theta S_t \;\text{(soft)}, \quad H_t [S_t = 0] \;\text{(hard)}

    theta is the threshold, or 1 for integer firing.

    Args:
        x: input ``[T, B, C, *]``, float32, float64, bfloat16 or float16.
        decay: ``[C]``.
        gain: ``[C]``.
        firing: what turns the charged membrane H into spikes.
        reset: what a spike does to the membrane.
        detach_reset: no gradient through the spike in the reset.
        membrane: V before the first step, ``[B, C, *]``; None is zero.
        lengths: int64 ``[B]``, valid steps; None is all T. What lies beyond them counts for nothing, NaN included.
        recompute: keep only the input for the backward pass, and compute the membrane again there.

    Returns:
        Spikes ``[T, B, C, *]`` in the dtype of x, and V after the last valid step in float32 (float64 for float64 input).

    Raises:
        InputError: a shape, dtype, device or range does not fit, or a hard reset is asked for without spikes.
    """
    if firing.kind == Kind.IDENTITY and reset == Reset.HARD:
        raise InputError(
            "leaky_integration: a hard reset needs spikes, and Kind.IDENTITY has none; pass Reset.NONE, or Binary().spec."
        )
    spikes, (membrane,) = sweep(
        leaky_cell(reset, detach_reset, firing),
        x,
        (decay, gain),
        firing=firing,
        state=(membrane,),
        lengths=lengths,
        recompute=recompute,
    )
    return spikes, membrane
