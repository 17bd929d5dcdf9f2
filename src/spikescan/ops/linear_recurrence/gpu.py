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

from spikescan.ops._triton import Launch, configure

__all__ = ["backward", "carry", "forward"]


@triton.jit
def _load(pointer: tl.tensor, place: tl.tensor, mask: tl.tensor, PARTS: tl.constexpr) -> Any:
    number = ()
    for part in tl.static_range(PARTS):
        number = number + (tl.load(pointer + place * PARTS + part, mask=mask, other=0.0),)
    return number


@triton.jit
def _store(pointer: tl.tensor, place: tl.tensor, number: Any, mask: tl.tensor, PARTS: tl.constexpr) -> None:
    for part in tl.static_range(PARTS):
        tl.store(pointer + place * PARTS + part, number[part], mask=mask)


@triton.jit
def _constant(value: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, PARTS: tl.constexpr) -> Any:
    number = (tl.full((BLOCK,), value, D),)
    for _ in tl.static_range(PARTS - 1):
        number = number + (tl.zeros((BLOCK,), D),)
    return number


@triton.jit
def _multiply_add(a: Any, b: Any, c: Any, PARTS: tl.constexpr) -> Any:
    """a b + c."""
    if PARTS == 1:
        result = (a[0] * b[0] + c[0],)
    else:
        result = (a[0] * b[0] - a[1] * b[1] + c[0], a[0] * b[1] + a[1] * b[0] + c[1])
    return result


@triton.jit
def _conjugate(a: Any, PARTS: tl.constexpr) -> Any:
    return a if PARTS == 1 else (a[0], -a[1])


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
    decay_stride: tl.int64,
    chunk: tl.int32,
    REVERSE: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    D: tl.constexpr = drive.dtype.element_ty
    number = tl.program_id(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = place < N
    zero = _constant(0.0, D, BLOCK, PARTS)
    h = zero
    product = _constant(1.0, D, BLOCK, PARTS)
    if starts is not None:
        h = _load(starts, number * N + place, mask, PARTS)
    for step in range(number * chunk, tl.minimum(number * chunk + chunk, T)):
        t = T - 1 - step if REVERSE else step
        a = _load(decay, t * decay_stride + place, mask, PARTS)
        h = _multiply_add(a, h, _load(drive, t * N + place, mask, PARTS), PARTS)
        if states is not None:
            _store(states, t * N + place, h, mask, PARTS)
        if products is not None:
            product = _multiply_add(a, product, zero, PARTS)
    _store(ends, number * N + place, h, mask, PARTS)
    if products is not None:
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
    decay_stride: tl.int64,
    chunk: tl.int32,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    D: tl.constexpr = decay.dtype.element_ty
    number = tl.program_id(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = place < N
    first = number * chunk
    zero = _constant(0.0, D, BLOCK, PARTS)
    later = zero  # the gradient of h_t that comes from the steps after t
    total = zero
    product = _constant(1.0, D, BLOCK, PARTS)
    if starts is not None:
        later = _load(starts, number * N + place, mask, PARTS)
    for step in range(tl.minimum(chunk, T - first)):
        t = tl.minimum(first + chunk, T) - 1 - step
        a = _conjugate(_load(decay, t * decay_stride + place, mask, PARTS), PARTS)
        g = later
        if grad_states is not None:
            one = _constant(1.0, D, BLOCK, PARTS)
            g = _multiply_add(one, _load(grad_states, t * N + place, mask, PARTS), later, PARTS)
        later = _multiply_add(a, g, zero, PARTS)
        if products is not None:
            product = _multiply_add(a, product, zero, PARTS)
        if grad_drive is not None:
            _store(grad_drive, t * N + place, g, mask, PARTS)
            if t > 0:
                previous = _load(states, (t - 1) * N + place, mask, PARTS)
            else:
                previous = _load(initial, place, mask, PARTS)
            if decay_stride == 0:
                total = _multiply_add(g, _conjugate(previous, PARTS), total, PARTS)
            else:
                _store(grad_decay, t * N + place, _multiply_add(g, _conjugate(previous, PARTS), zero, PARTS), mask, PARTS)
    _store(ends, number * N + place, later, mask, PARTS)
    if products is not None:
        _store(products, number * N + place, product, mask, PARTS)
