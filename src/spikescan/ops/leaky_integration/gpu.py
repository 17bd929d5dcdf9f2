"""Leaky integration with a reset, as Triton kernels: one program walks through all steps, for a reset cannot be cut."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops._triton import (
    INTEGER,
    Launch,
    Tile,
    channel_sum,
    configure,
    derivative,
    fire,
    load_past,
    position,
    store_sum,
    strip,
    valid_steps,
)
from spikescan.ops.leaky_integration.reference import Reset

__all__ = ["backward", "forward"]

SOFT = tl.constexpr(Reset.SOFT.value)
HARD = tl.constexpr(Reset.HARD.value)


@triton.jit
def _kept(fired: tl.tensor, KIND: tl.constexpr) -> tl.tensor:
    """The share of the membrane that a hard reset leaves: an integer spike resets as a whole."""
    return (fired == 0.0).to(fired.dtype) if KIND == INTEGER else 1.0 - fired


@triton.jit
def _reset(h: tl.tensor, fired: tl.tensor, unit: tl.tensor, RESET: tl.constexpr, KIND: tl.constexpr) -> tl.tensor:
    """The membrane that a charged membrane leaves behind."""
    if RESET == SOFT:
        after = h - unit * fired
    elif RESET == HARD:
        after = h * _kept(fired, KIND)
    else:
        after = h
    return after


@triton.jit
def _reset_slope(
    h: tl.tensor, fired: tl.tensor, slope: tl.tensor, unit: tl.tensor, RESET: tl.constexpr, KIND: tl.constexpr
) -> tl.tensor:
    """The derivative of `_reset` by h, where `slope` is that of the spike."""
    if RESET == SOFT:
        through = 1.0 - unit * slope
    elif RESET == HARD:
        through = _kept(fired, KIND)
        if KIND != INTEGER:
            through -= h * slope
    else:
        through = tl.full(h.shape, 1.0, h.dtype)
    return through


@triton.jit
def _forward(
    x: tl.tensor,
    decay: tl.tensor,
    gain: tl.tensor,
    membrane: tl.tensor,
    lengths: tl.tensor,
    spikes: tl.tensor,
    charges: tl.tensor,
    final: tl.tensor,
    T: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    unit: tl.float64,
    level: tl.float64,
    RESET: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    D: tl.constexpr = decay.dtype.element_ty
    unit = tl.full((), unit, D)
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    leak = tl.load(decay + column // space, mask=column < columns, other=0.0)
    scale = tl.load(gain + column // space, mask=column < columns, other=0.0)
    last = valid_steps(lengths, row, rows, T, ROWS)
    v = tl.load(membrane + place, mask=inside, other=0.0)
    for t in range(T):
        valid = inside & (t < last)
        h = leak * v + scale * tl.load(x + t * stride + place, mask=valid, other=0.0).to(D)
        fired = fire(h, level, KIND)
        v = tl.where(valid, _reset(h, fired, unit, RESET, KIND), v)
        tl.store(spikes + t * stride + place, tl.where(valid, fired, 0.0), mask=inside)
        if charges is not None:
            tl.store(charges + t * stride + place, h, mask=inside)
    tl.store(final + place, v, mask=inside)


@triton.jit
def _backward(
    grad_spikes: tl.tensor,
    x: tl.tensor,
    decay: tl.tensor,
    gain: tl.tensor,
    membrane: tl.tensor,
    charges: tl.tensor,
    lengths: tl.tensor,
    grad_final: tl.tensor,
    grad_x: tl.tensor,
    partials: tl.tensor,
    grad_membrane: tl.tensor,
    T: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    unit: tl.float64,
    level: tl.float64,
    a: tl.float64,
    b: tl.float64,
    c: tl.float64,
    RESET: tl.constexpr,
    DETACHED: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    D: tl.constexpr = decay.dtype.element_ty
    unit = tl.full((), unit, D)
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    leak = tl.load(decay + column // space, mask=column < columns, other=0.0)
    scale = tl.load(gain + column // space, mask=column < columns, other=0.0)
    last = valid_steps(lengths, row, rows, T, ROWS)
    start = tl.load(membrane + place, mask=inside, other=0.0)
    later = tl.load(grad_final + place, mask=inside, other=0.0)  # the gradient of V_t through the steps after t
    h = load_past(charges, membrane, T - 1, 1, stride, place, inside)
    grad_decay = tl.zeros((ROWS, COLUMNS), D)
    grad_gain = tl.zeros((ROWS, COLUMNS), D)
    for step in range(T):
        t = T - 1 - step
        valid = inside & (t < last)
        slope = derivative(h, level, a, b, c, KIND)
        reset_slope = tl.zeros_like(slope) if DETACHED else slope
        through = _reset_slope(h, fire(h, level, KIND), reset_slope, unit, RESET, KIND)
        g = tl.load(grad_spikes + t * stride + place, mask=valid, other=0.0).to(D)
        g = tl.where(valid, g * slope + later * through, 0.0)
        h = load_past(charges, membrane, t - 1, 1, stride, place, inside)
        before = tl.where(t > 0, _reset(h, fire(h, level, KIND), unit, RESET, KIND), start)
        grad_decay += g * before
        grad_gain += g * tl.load(x + t * stride + place, mask=valid, other=0.0).to(D)
        tl.store(grad_x + t * stride + place, scale * g, mask=inside)
        later = tl.where(valid, leak * g, later)
    tl.store(grad_membrane + place, later, mask=inside)
    program = strip(rows, columns, ROWS, COLUMNS)
    store_sum(partials, grad_decay, program * 2, column, columns)
    store_sum(partials, grad_gain, program * 2 + 1, column, columns)


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
    """As `reference.forward`."""
    tile, shared = _plan(x, decay, gain, membrane, lengths, reset, kind, numbers)
    spikes, final = torch.empty_like(x), torch.empty_like(membrane)
    charges = x.new_empty(x.shape if keep else (0,), dtype=decay.dtype)
    outputs = {"spikes": spikes, "charges": charges if keep else None, "final": final}
    Launch(_forward, tile.grid, tile.warps, shared | outputs).run()
    return spikes, final, charges


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
    """The gradients of x, decay, gain and membrane."""
    tile, shared = _plan(x, decay, gain, membrane, lengths, reset, kind, numbers)
    grad_x, grad_start = torch.empty_like(x), torch.empty_like(membrane)
    partials = decay.new_empty(tile.row_tiles, 2, shared["columns"])
    arguments = shared | {
        "grad_spikes": grad_spikes,
        "charges": charges,
        "grad_final": torch.zeros_like(membrane) if grad_membrane is None else grad_membrane.contiguous(),
        "grad_x": grad_x,
        "partials": partials,
        "grad_membrane": grad_start,
        **dict(zip("abc", numbers[1:], strict=True)),
        "DETACHED": detach_reset,
    }
    Launch(_backward, tile.grid, tile.warps, arguments).run()
    grad_decay, grad_gain = channel_sum(partials, decay.shape[0]).unbind()
    return grad_x, grad_decay.clone(), grad_gain.clone(), grad_start


def _plan(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    lengths: Tensor | None,
    reset: int,
    kind: int,
    numbers: list[float],
) -> tuple[Tile, dict[str, Any]]:
    """The layout, and what forward and backward kernels are both called with."""
    T, B, C, S = x.shape
    tile = configure(1, B, C * S)  # uncut
    return tile, {
        "x": x,
        "decay": decay,
        "gain": gain,
        "membrane": membrane,
        "lengths": lengths,
        "T": T,
        "rows": B,
        "columns": C * S,
        "space": S,
        "stride": B * C * S,
        "unit": FiringSpec(Kind(kind), *numbers).unit,
        "level": numbers[0],
        "RESET": reset,
        "KIND": kind,
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
    }
