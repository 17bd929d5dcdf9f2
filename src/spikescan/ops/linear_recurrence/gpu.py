"""The linear recurrence as Triton kernels, and the walk over chunks that other recurrences borrow.

A number is a tuple of its parts: one for a real number, two for a complex one. A recurrence cut into chunks takes three
passes: every chunk from zero, for its last state and the product of its decays; the state from chunk to chunk, a recurrence
of those; every chunk again from the state it starts with. Nothing is divided by a product of decays.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._triton import Launch, Tile, append, configure, load_past

__all__ = ["backward", "carry", "forward"]


@triton.jit
def _load(pointer: tl.tensor, place: tl.tensor, mask: tl.tensor, PARTS: tl.constexpr) -> tl.tuple:
    number = ()
    for part in tl.static_range(PARTS):
        number = append(number, tl.load(pointer + place * PARTS + part, mask=mask, other=0.0))
    return number


@triton.jit
def _store(pointer: tl.tensor, place: tl.tensor, number: tl.tuple, mask: tl.tensor, PARTS: tl.constexpr) -> None:
    for part in tl.static_range(PARTS):
        tl.store(pointer + place * PARTS + part, number[part], mask=mask)


@triton.jit
def _fill(value: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, PARTS: tl.constexpr) -> tl.tuple:
    """A real value, as a number of one or two parts."""
    number = append((), tl.full((BLOCK,), value, D))
    if PARTS == 2:
        number = append(number, tl.zeros((BLOCK,), D))
    return number


@triton.jit
def _add(a: tl.tuple, b: tl.tuple, PARTS: tl.constexpr) -> tl.tuple:
    number = ()
    for part in tl.static_range(PARTS):
        number = append(number, a[part] + b[part])
    return number


@triton.jit
def _multiply(a: tl.tuple, b: tl.tuple, PARTS: tl.constexpr) -> tl.tuple:
    return append((), a[0] * b[0]) if PARTS == 1 else (a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0])


@triton.jit
def _conjugate(a: tl.tuple, PARTS: tl.constexpr) -> tl.tuple:
    number = append((), a[0])
    if PARTS == 2:
        number = append(number, -a[1])
    return number


@triton.jit
def _forward(
    decay: tl.tensor,
    drive: tl.tensor,
    starts: tl.tensor,
    states: tl.tensor,
    ends: tl.tensor,
    products: tl.tensor,
    T: tl.int32,
    N: tl.int64,
    chunk: tl.int32,
    CONSTANT: tl.constexpr,
    REVERSE: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """All states from the `starts` of the chunks; without them the `ends` from zero and the `products` of the decays."""
    D: tl.constexpr = drive.dtype.element_ty
    number = tl.program_id(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = place < N
    h = _fill(0.0, D, BLOCK, PARTS)
    product = _fill(1.0, D, BLOCK, PARTS)
    if starts is not None:
        h = _load(starts, number * N + place, mask, PARTS)
    for step in range(number * chunk, tl.minimum(number * chunk + chunk, T)):
        t = T - 1 - step if REVERSE else step
        a = _load(decay, place if CONSTANT else t * N + place, mask, PARTS)
        h = _add(_multiply(a, h, PARTS), _load(drive, t * N + place, mask, PARTS), PARTS)
        if starts is None:
            product = _multiply(a, product, PARTS)
        else:
            _store(states, t * N + place, h, mask, PARTS)
    if starts is None:
        _store(ends, number * N + place, h, mask, PARTS)
        _store(products, number * N + place, product, mask, PARTS)


@triton.jit
def _backward(
    decay: tl.tensor,
    states: tl.tensor,
    initial: tl.tensor,
    grad_states: tl.tensor,
    starts: tl.tensor,
    grad_decay: tl.tensor,
    grad_drive: tl.tensor,
    ends: tl.tensor,
    products: tl.tensor,
    T: tl.int32,
    N: tl.int64,
    chunk: tl.int32,
    CONSTANT: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """From the last step to the first; a chunk starts at its end. Without `starts`, `ends` and `products` alone.

    Without `states` the decay has no gradient.
    """
    D: tl.constexpr = decay.dtype.element_ty
    number = tl.program_id(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = place < N
    first = number * chunk
    stop = tl.minimum(first + chunk, T)
    zero = _fill(0.0, D, BLOCK, PARTS)
    later = zero  # the gradient of h_t through the steps after t
    total = zero
    product = _fill(1.0, D, BLOCK, PARTS)
    if starts is not None:
        later = _load(starts, number * N + place, mask, PARTS)
    for step in range(first, stop):
        t = first + stop - 1 - step
        a = _conjugate(_load(decay, place if CONSTANT else t * N + place, mask, PARTS), PARTS)
        g = later
        if grad_states is not None:
            g = _add(g, _load(grad_states, t * N + place, mask, PARTS), PARTS)
        later = _multiply(a, g, PARTS)
        if starts is None:
            product = _multiply(a, product, PARTS)
        else:
            _store(grad_drive, t * N + place, g, mask, PARTS)
            if states is not None:
                previous = ()
                for part in tl.static_range(PARTS):
                    part_place = place * PARTS + part
                    previous = append(previous, load_past(states, initial, t - 1, 1, N * PARTS, part_place, mask))
                g = _multiply(g, _conjugate(previous, PARTS), PARTS)
                if CONSTANT:
                    total = _add(total, g, PARTS)
                else:
                    _store(grad_decay, t * N + place, g, mask, PARTS)
    _store(ends, number * N + place, later, mask, PARTS)
    if starts is None:
        _store(products, number * N + place, product, mask, PARTS)
    elif CONSTANT and states is not None:
        _store(grad_decay, number * N + place, total, mask, PARTS)


def forward(decay: Tensor, drive: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.forward`."""
    T, N = drive.shape
    tile = configure(T, 1, N)
    starts = initial
    if tile.chunks > 1:
        ends, products = (drive.new_empty(tile.chunks, N) for _ in range(2))
        _walk(tile, decay, drive, ends=ends, products=products)
        starts = carry(products, ends, initial)
    states = torch.empty_like(drive)
    _walk(tile, decay, drive, starts=starts, states=states)
    return states, (states[-1] if T else initial).clone()


def carry(products: Tensor, ends: Tensor, boundary: Tensor, *, reverse: bool = False) -> Tensor:
    """The state each chunk starts with, ``[chunks, N]``.

    products and ends ``[chunks, N]`` are what each chunk makes of its decays and, from zero, of its drive; boundary ``[N]``
    is the state before the first chunk or, in `reverse`, after the last.
    """
    chunks, N = ends.shape
    states = ends.new_empty(chunks + 1, N)
    starts, after = (states[1:], states[:-1]) if reverse else (states[:-1], states[1:])
    starts[-1 if reverse else 0].copy_(boundary)
    tile = configure(chunks, 1, N)._replace(chunk=chunks, chunks=1)
    _walk(tile, products, ends, starts=starts[-1 if reverse else 0], states=after, reverse=reverse)
    return starts


def _walk(
    tile: Tile,
    decay: Tensor,
    drive: Tensor,
    *,
    starts: Tensor | None = None,
    states: Tensor | None = None,
    ends: Tensor | None = None,
    products: Tensor | None = None,
    reverse: bool = False,
) -> None:
    T, N = drive.shape
    Launch(
        _forward,
        tile.grid,
        tile.warps,
        {
            "decay": _parts(decay),
            "drive": _parts(drive),
            "starts": _parts(starts),
            "states": _parts(states),
            "ends": _parts(ends),
            "products": _parts(products),
            "T": T,
            "N": N,
            "chunk": tile.chunk,
            "REVERSE": reverse,
            **_choices(tile, decay, T),
        },
    ).run()


def _choices(tile: Tile, decay: Tensor, T: int) -> dict[str, Any]:
    return {
        "CONSTANT": decay.shape[0] != T,
        "PARTS": 2 if decay.is_complex() else 1,
        "BLOCK": tile.rows * tile.columns,
    }


def _parts(tensor: Tensor | None) -> Tensor | None:
    """A complex tensor as its real and imaginary parts, side by side."""
    return torch.view_as_real(tensor) if tensor is not None and tensor.is_complex() else tensor


def backward(
    grad_states: Tensor | None,
    grad_final: Tensor | None,
    decay: Tensor,
    states: Tensor | None,
    initial: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of decay, drive and initial; without the states that of decay is left out and has no rows."""
    T, N = steps, initial.shape[0]
    tile = configure(T, 1, N)
    ends = initial.new_empty(tile.chunks, N)
    arguments = {
        "decay": _parts(decay),
        "states": _parts(states),
        "initial": _parts(initial),
        "grad_states": _parts(grad_states),
        "starts": None,
        "grad_decay": None,
        "grad_drive": None,
        "ends": _parts(ends),
        "products": None,
        "T": T,
        "N": N,
        "chunk": tile.chunk,
        **_choices(tile, decay, T),
    }
    starts = torch.zeros_like(initial) if grad_final is None else grad_final.contiguous()
    if tile.chunks > 1:
        products = torch.empty_like(ends)
        Launch(_backward, tile.grid, tile.warps, arguments | {"products": _parts(products)}).run()
        starts = carry(products, ends, starts, reverse=True)
    grad_drive = initial.new_empty(T, N)
    constant = arguments["CONSTANT"]
    grad_decay = None
    if states is not None:
        grad_decay = initial.new_empty(tile.chunks, N) if constant else torch.empty_like(decay)
    outputs = {"starts": starts, "grad_decay": grad_decay, "grad_drive": grad_drive}
    Launch(_backward, tile.grid, tile.warps, arguments | {name: _parts(t) for name, t in outputs.items()}).run()
    if grad_decay is None:
        grad_decay = decay.new_empty(0, N)
    elif constant:
        grad_decay = grad_decay.sum(0, keepdim=True)
    return grad_decay, grad_drive, ends[0].clone()
