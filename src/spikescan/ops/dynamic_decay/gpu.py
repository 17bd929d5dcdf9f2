"""The fused dynamic decay as Triton kernels; how a long sequence is cut is told in `linear_recurrence.gpu`."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._power import squarings
from spikescan.ops._triton import (
    Launch,
    Tile,
    append,
    channel_sum,
    configure,
    derivative,
    fire,
    gate,
    load_past,
    load_taps,
    position,
    store_sum,
    strip,
    valid_steps,
    weighted_sum,
)
from spikescan.ops.linear_recurrence.gpu import carry

__all__ = ["backward", "forward"]


@triton.jit
def _load_window(
    x: tl.tensor,
    window: tl.tensor,
    t: tl.tensor,
    last: tl.tensor,
    stride: tl.tensor,
    place: tl.tensor,
    mask: tl.tensor,
    K: tl.constexpr,
) -> tl.tuple:
    """The K - 1 inputs before step t, a tuple, newest last; zero from step `last` on."""
    inputs = ()
    for tap in tl.static_range(K - 1):
        then = t + tap - (K - 1)
        inputs = append(inputs, load_past(x, window, then, K - 1, stride, place, mask & (then < last)))
    return inputs


@triton.jit
def _forward(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    window: tl.tensor,
    lengths: tl.tensor,
    starts: tl.tensor,
    spikes: tl.tensor,
    membranes: tl.tensor,
    ends: tl.tensor,
    products: tl.tensor,
    T: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    chunk: tl.int32,
    exponent: tl.float64,
    level: tl.float64,
    K: tl.constexpr,
    SQUARINGS: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Spikes and `ends` from the `starts` of the chunks; without them `ends` from zero and the `products` of the decays."""
    D: tl.constexpr = weight.dtype.element_ty
    exponent = tl.full((), exponent, D)
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    taps = load_taps(weight, column // space, column < columns, K)
    offset = tl.load(bias + column // space, mask=column < columns, other=0.0)
    number = tl.program_id(1)
    first = number * chunk
    last = valid_steps(lengths, row, rows, T, ROWS)
    inputs = _load_window(x, window, first, last, stride, place, inside, K)
    h = tl.zeros((ROWS, COLUMNS), D)
    product = tl.full((ROWS, COLUMNS), 1.0, D)
    if starts is not None:
        h = tl.load(starts + number * stride + place, mask=inside, other=0.0)
    for t in range(first, tl.minimum(first + chunk, T)):
        valid = inside & (t < last)
        now = tl.load(x + t * stride + place, mask=valid, other=0.0).to(D)
        inputs = append(inputs, now)
        decay, rest, _ = gate(weighted_sum(taps, inputs, offset, K), exponent, SQUARINGS)
        inputs = inputs[1:]
        h = tl.where(valid, decay * h + rest * now, h)
        if starts is None:
            product = tl.where(valid, decay * product, product)
        else:
            tl.store(spikes + t * stride + place, tl.where(valid, fire(h, level, KIND), 0.0), mask=inside)
        if membranes is not None:
            tl.store(membranes + t * stride + place, h, mask=inside)
    tl.store(ends + number * stride + place, h, mask=inside)
    if starts is None:
        tl.store(products + number * stride + place, product, mask=inside)


@triton.jit
def _backward(
    grad_spikes: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    membrane: tl.tensor,
    window: tl.tensor,
    membranes: tl.tensor,
    lengths: tl.tensor,
    starts: tl.tensor,
    grad_x: tl.tensor,
    halos: tl.tensor,
    partials: tl.tensor,
    ends: tl.tensor,
    products: tl.tensor,
    T: tl.int32,
    rows: tl.int32,
    columns: tl.int32,
    space: tl.int32,
    stride: tl.int64,
    chunk: tl.int32,
    exponent: tl.float64,
    level: tl.float64,
    a: tl.float64,
    b: tl.float64,
    c: tl.float64,
    K: tl.constexpr,
    SQUARINGS: tl.constexpr,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """From the last step to the first; a chunk starts at its end. Without `starts`, `ends` and `products` alone.

    `halos` takes what a chunk owes to the K - 1 inputs before it, `partials` its sums for the parameters.
    """
    D: tl.constexpr = weight.dtype.element_ty
    exponent = tl.full((), exponent, D)
    row, column = position(rows, columns, ROWS, COLUMNS)
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    taps = load_taps(weight, column // space, column < columns, K)
    offset = tl.load(bias + column // space, mask=column < columns, other=0.0)
    number = tl.program_id(1)
    first = number * chunk
    stop = tl.minimum(first + chunk, T)
    last = valid_steps(lengths, row, rows, T, ROWS)
    inputs = _load_window(x, window, stop, last, stride, place, inside, K)
    h = load_past(membranes, membrane, stop - 1, 1, stride, place, inside)
    zero = tl.zeros((ROWS, COLUMNS), D)
    product = tl.full((ROWS, COLUMNS), 1.0, D)
    later = zero  # the gradient of H_t through the steps after t
    owed = (zero,) * (K - 1)  # the gradients of the K - 1 inputs before the step, newest first, through later steps
    sums = (zero,) * (K + 1)  # the gradients of the taps and, last, of the bias
    if starts is not None:
        later = tl.load(starts + number * stride + place, mask=inside, other=0.0)
    for step in range(first, stop):
        t = first + stop - 1 - step
        valid = inside & (t < last)
        oldest = t - (K - 1)
        seen = load_past(x, window, oldest, K - 1, stride, place, inside & (oldest < last))
        inputs = (seen,) + inputs  # noqa: RUF005 (Triton does not unpack)
        previous = load_past(membranes, membrane, t - 1, 1, stride, place, inside)
        decay, rest, closed = gate(weighted_sum(taps, inputs, offset, K), exponent, SQUARINGS)
        g = tl.load(grad_spikes + t * stride + place, mask=valid, other=0.0).to(D)
        g = g * derivative(h, level, a, b, c, KIND) + later
        h = previous
        later = tl.where(valid, decay * g, later)
        if starts is None:
            product = tl.where(valid, decay * product, product)
        else:
            now = inputs[K - 1]
            g = tl.where(valid, g, 0.0)
            grad_gate = g * (previous - now) * decay * exponent * closed
            before, owed, before_sums, sums = append(owed, zero), (), sums, ()
            for tap in tl.static_range(K):
                owed = append(owed, before[tap] + taps[K - 1 - tap] * grad_gate)
                sums = append(sums, before_sums[tap] + inputs[tap] * grad_gate)
            sums = append(sums, before_sums[K] + grad_gate)
            tl.store(grad_x + t * stride + place, owed[0] + rest * g, mask=inside)
            owed = owed[1:]
        inputs = inputs[:-1]
    tl.store(ends + number * stride + place, later, mask=inside)
    if starts is None:
        tl.store(products + number * stride + place, product, mask=inside)
    else:
        for tap in tl.static_range(K - 1):
            tl.store(halos + (number * (K - 1) + tap) * stride + place, owed[K - 2 - tap], mask=inside)
        program = strip(rows, columns, ROWS, COLUMNS)
        for parameter in tl.static_range(K + 1):
            store_sum(partials, sums[parameter], program * (K + 1) + parameter, column, columns)


def rows_kept(steps: int) -> int:
    """Rows of what is kept for the backward: the membrane after each step."""
    return steps


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
    """As `reference.forward`."""
    tile, shared = _plan(x, weight, bias, window, lengths, exponent, kind, numbers)
    ends = membrane.new_empty(tile.chunks, *membrane.shape)
    arguments = shared | {"starts": None, "spikes": None, "membranes": None, "ends": ends, "products": None}
    starts = membrane
    if tile.chunks > 1:
        products = torch.empty_like(ends)
        Launch(_forward, tile.grid, tile.warps, arguments | {"products": products}).run()
        starts = carry(products.flatten(1), ends.flatten(1), membrane.flatten())
    spikes = torch.empty_like(x)
    membranes = x.new_empty(x.shape if keep else (0,), dtype=weight.dtype)
    outputs = {"starts": starts, "spikes": spikes, "membranes": membranes if keep else None}
    Launch(_forward, tile.grid, tile.warps, arguments | outputs).run()
    return spikes, ends[-1].clone(), membranes


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
    """The gradients of x, weight, bias, membrane and window."""
    C, K = weight.shape
    tile, shared = _plan(x, weight, bias, window, lengths, exponent, kind, numbers)
    ends = membrane.new_empty(tile.chunks, *membrane.shape)
    arguments = shared | {
        "grad_spikes": grad_spikes,
        "membrane": membrane,
        "membranes": membranes,
        "starts": None,
        "grad_x": None,
        "halos": None,
        "partials": None,
        "ends": ends,
        "products": None,
        **dict(zip("abc", numbers[1:], strict=True)),
    }
    starts = torch.zeros_like(membrane) if grad_membrane is None else grad_membrane.contiguous()
    if tile.chunks > 1:
        products = torch.empty_like(ends)
        Launch(_backward, tile.grid, tile.warps, arguments | {"products": products}).run()
        starts = carry(products.flatten(1), ends.flatten(1), starts.flatten(), reverse=True)
    grad_x = torch.empty_like(x)
    halos = window.new_empty(tile.chunks, *window.shape)
    partials = weight.new_empty(tile.chunks * tile.row_tiles, K + 1, shared["columns"])
    outputs = {"starts": starts, "grad_x": grad_x, "halos": halos, "partials": partials}
    Launch(_backward, tile.grid, tile.warps, arguments | outputs).run()
    if tile.chunks > 1:  # the first chunk owes to the window, any other to the end of the chunk before it
        whole = grad_x[: (tile.chunks - 1) * tile.chunk].unflatten(0, (tile.chunks - 1, tile.chunk))
        whole[:, tile.chunk - (K - 1) :] += halos[1:]
    sums = channel_sum(partials, C)
    return grad_x, sums[:K].t().contiguous(), sums[K].clone(), ends[0].clone(), halos[0].clone()


def _plan(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
) -> tuple[Tile, dict[str, Any]]:
    """The layout, and what forward and backward kernels are both called with."""
    T, B, C, S = x.shape
    K = weight.shape[1]
    tile = configure(T, B, C * S, taps=K)
    return tile, {
        "x": x,
        "weight": weight,
        "bias": bias,
        "window": window,
        "lengths": lengths,
        "T": T,
        "rows": B,
        "columns": C * S,
        "space": S,
        "stride": B * C * S,
        "chunk": tile.chunk,
        "exponent": exponent,
        "level": numbers[0],
        "K": K,
        "SQUARINGS": squarings(exponent),
        "KIND": kind,
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
    }
