"""Causal convolution over time and firing, as Triton kernels.

No state goes from step to step, so the steps are cut as it pleases the machine. An input is read again at every step that
uses it: the caches hold it, registers could not hold a dilated window.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._triton import (
    Launch,
    Tile,
    append,
    channel_sum,
    configure,
    derivative,
    fire,
    load_past,
    load_taps,
    position,
    store_sum,
    strip,
    weighted_sum,
)

__all__ = ["backward", "forward"]


@triton.jit
def _inputs(
    x: tl.tensor,
    window: tl.tensor,
    t: tl.tensor,
    dilation: tl.tensor,
    stride: tl.tensor,
    place: tl.tensor,
    mask: tl.tensor,
    K: tl.constexpr,
) -> tl.tuple:
    """What the taps see at step t, oldest first."""
    inputs = ()
    for tap in tl.static_range(K):
        then = t - (K - 1 - tap) * dilation
        inputs = append(inputs, load_past(x, window, then, (K - 1) * dilation, stride, place, mask))
    return inputs


@triton.jit
def _forward(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    window: tl.tensor,
    y: tl.tensor,
    T: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    chunk: tl.int32,
    dilation: tl.int32,
    level: tl.float64,
    K: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    taps = load_taps(weight, column // space, column < columns, K)
    offset = tl.load(bias + column // space, mask=column < columns, other=0.0)
    zero = tl.zeros_like(offset)
    first = tl.program_id(1) * chunk
    for t in range(first, tl.minimum(first + chunk, T)):
        h = weighted_sum(taps, _inputs(x, window, t, dilation, stride, place, inside, K), zero, K) + offset
        tl.store(y + t * stride + place, fire(h, level, KIND), mask=inside)


@triton.jit
def _charge_gradient(
    grad: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    window: tl.tensor,
    charge: tl.tensor,
    partials: tl.tensor,
    T: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    chunk: tl.int32,
    dilation: tl.int32,
    level: tl.float64,
    a: tl.float64,
    b: tl.float64,
    c: tl.float64,
    K: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """The gradient of what fires, and sums of it for the taps and the bias."""
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    taps = load_taps(weight, column // space, column < columns, K)
    offset = tl.load(bias + column // space, mask=column < columns, other=0.0)
    zero = tl.zeros((ROWS, COLUMNS), offset.dtype)
    sums = (zero,) * (K + 1)  # of the taps and, last, the bias
    first = tl.program_id(1) * chunk
    for t in range(first, tl.minimum(first + chunk, T)):
        inputs = _inputs(x, window, t, dilation, stride, place, inside, K)
        h = weighted_sum(taps, inputs, zero, K) + offset
        g = tl.load(grad + t * stride + place, mask=inside, other=0.0).to(offset.dtype)
        g *= derivative(h, level, a, b, c, KIND)
        tl.store(charge + t * stride + place, g, mask=inside)
        before, sums = sums, ()
        for tap in tl.static_range(K):
            sums = append(sums, before[tap] + inputs[tap] * g)
        sums = append(sums, before[K] + g)
    program = strip(rows, columns, ROWS, COLUMNS)
    for parameter in tl.static_range(K + 1):
        store_sum(partials, sums[parameter], program * (K + 1) + parameter, column, columns)


@triton.jit
def _input_gradient(
    charge: tl.tensor,
    weight: tl.tensor,
    grad: tl.tensor,
    shift: tl.int32,
    T: tl.int32,
    steps: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    chunk: tl.int32,
    dilation: tl.int32,
    K: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """The gradient of the `steps` inputs from step `shift` on, which is negative for the window."""
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    taps = load_taps(weight, column // space, column < columns, K)
    first = tl.program_id(1) * chunk
    for step in range(first, tl.minimum(first + chunk, steps)):
        g = tl.zeros((ROWS, COLUMNS), weight.dtype.element_ty)
        for tap in tl.static_range(K):
            t = step + shift + (K - 1 - tap) * dilation
            mask = inside & (t >= 0) & (t < T)
            g += taps[tap] * tl.load(charge + t * stride + place, mask=mask, other=0.0)
        tl.store(grad + step * stride + place, g, mask=inside)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, window: Tensor, dilation: int, kind: int, numbers: list[float]
) -> Tensor:
    """As `reference.forward`."""
    tile, shared = _plan(x.shape, x.shape[0], weight, dilation)
    y = torch.empty_like(x)
    arguments = {"x": x, "bias": bias, "window": window, "y": y, "level": numbers[0], "KIND": kind}
    Launch(_forward, tile.grid, tile.warps, shared | arguments).run()
    return y


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    dilation: int,
    kind: int,
    numbers: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, weight, bias and window."""
    C, K = weight.shape
    tile, shared = _plan(x.shape, x.shape[0], weight, dilation)
    charge = torch.empty_like(x, dtype=weight.dtype)
    partials = weight.new_empty(tile.chunks * tile.row_tiles, K + 1, shared["columns"])
    arguments = {
        "grad": grad,
        "x": x,
        "bias": bias,
        "window": window,
        "charge": charge,
        "partials": partials,
        **dict(zip(("level", "a", "b", "c"), numbers, strict=True)),
        "KIND": kind,
    }
    Launch(_charge_gradient, tile.grid, tile.warps, shared | arguments).run()
    grad_x, grad_window = torch.empty_like(x), torch.empty_like(window)
    for output, shift in ((grad_x, 0), (grad_window, -window.shape[0])):
        tile, shared = _plan(x.shape, output.shape[0], weight, dilation)
        arguments = {"charge": charge, "grad": output, "shift": shift, "steps": output.shape[0]}
        Launch(_input_gradient, tile.grid, tile.warps, shared | arguments).run()
    sums = channel_sum(partials, C)
    return grad_x, sums[:K].t().contiguous(), sums[K].clone(), grad_window


def _plan(shape: torch.Size, steps: int, weight: Tensor, dilation: int) -> tuple[Tile, dict[str, Any]]:
    """The layout of a kernel that walks through `steps`, and what all kernels are called with."""
    T, B, C, S = shape
    K = weight.shape[1]
    tile = configure(steps, B, C * S, taps=K, carried=False)
    return tile, {
        "weight": weight,
        "T": T,
        "rows": B,
        "columns": C * S,
        "space": S,
        "stride": B * C * S,
        "chunk": tile.chunk,
        "dilation": dilation,
        "K": K,
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
    }
