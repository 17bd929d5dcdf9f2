"""Firing on vectors of neurons; the table of kinds is at `spikescan.ops._firing.Kind`."""

import math

import torch
from torch import Tensor

from spikescan.ops._arrays import in_compute_dtype, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._firing import Kind
from spikescan.ops._simd import BYTES, absolute, clamp, exp, full, load, part, rint, row, select, sigmoid, store, whole
from spikescan.ops._threads import spread

# Numba takes module constants as compile-time values, but not members of an enum.
IDENTITY = int(Kind.IDENTITY)
INTEGER = int(Kind.INTEGER)
ATAN = int(Kind.ATAN)
SIGMOID = int(Kind.SIGMOID)
TRIANGULAR = int(Kind.TRIANGULAR)
RECTANGULAR = int(Kind.RECTANGULAR)
HALF_PI = 0.5 * math.pi
ROOT_TWO_PI = math.sqrt(2.0 * math.pi)


@inline
def spikes(h, kind, level):
    """The output of the membrane `h`."""
    if kind == INTEGER:
        return clamp(rint(h), 0.0, level)
    if kind == IDENTITY:
        return h
    return select(h >= level, full(1.0, h), full(0.0, h))


@inline
def _gaussian(x, deviation):
    z = x / deviation
    return exp(z * z * -0.5) / (deviation * ROOT_TWO_PI)


@inline
def _surrogate(x, kind, a, b, c):
    """The shape that stands in for the derivative of a step at 0."""
    if kind == ATAN:
        z = x * (HALF_PI * a)
        return 0.5 * a / (z * z + 1.0)
    if kind == SIGMOID:
        s = sigmoid(x * a)
        return a * s * (1.0 - s)
    if kind == TRIANGULAR:
        return clamp(1.0 - absolute(x) / a, 0.0, 1.0) / a
    if kind == RECTANGULAR:
        return select(absolute(x) < 0.5 * a, full(1.0 / a, x), full(0.0, x))
    return (1.0 + b) * _gaussian(x, a) - b * _gaussian(x - a, c * a) - b * _gaussian(x + a, c * a)


@inline
def through(grad, h, kind, level, a, b, c):
    """The gradient of the membrane `h` from that of its spikes."""
    if kind == INTEGER:
        return select((h >= 0.0) & (h <= level), grad, full(0.0, h))
    if kind == IDENTITY:
        return grad
    return grad * _surrogate(h - level, kind, a, b, c)


@inline
def _fire_group(h, out, n, group, kind, level):
    store(out, n, spikes(load(h, n, group), kind, level), group)


@kernel
def _fire(h_at, out_at, like, low, high, size, kind, level):
    h, out = row(h_at, size, like), row(out_at, size, like)
    step = BYTES // h.itemsize
    for n in range(low, high, step):
        if high - n >= step:
            _fire_group(h, out, n, whole(h), kind, level)
        else:
            _fire_group(h, out, n, part(h, high - n), kind, level)


@inline
def _through_group(grad, h, out, n, group, kind, level, a, b, c):
    store(out, n, through(load(grad, n, group), load(h, n, group), kind, level, a, b, c), group)


@kernel
def _through(grad_at, h_at, out_at, like, low, high, size, kind, level, a, b, c):
    grad, h, out = row(grad_at, size, like), row(h_at, size, like), row(out_at, size, like)
    step = BYTES // h.itemsize
    for n in range(low, high, step):
        if high - n >= step:
            _through_group(grad, h, out, n, whole(h), kind, level, a, b, c)
        else:
            _through_group(grad, h, out, n, part(h, high - n), kind, level, a, b, c)


def forward(membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """Spikes, of the shape and dtype of the membrane."""
    h = in_compute_dtype(membrane)
    out = torch.empty_like(h)
    size = h.numel()

    def run(_: int, low: int, high: int) -> None:
        _fire(h.data_ptr(), out.data_ptr(), number_like(h), low, high, size, kind, numbers[0])

    spread(run, size, 1, BYTES // h.itemsize)
    return out.to(membrane.dtype)


def backward(grad: Tensor, membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """The gradient of the membrane."""
    h = in_compute_dtype(membrane)
    g = grad.to(h.dtype)
    out = torch.empty_like(h)
    size = h.numel()

    def run(_: int, low: int, high: int) -> None:
        _through(g.data_ptr(), h.data_ptr(), out.data_ptr(), number_like(h), low, high, size, kind, *numbers)

    spread(run, size, 1, BYTES // h.itemsize)
    return out.to(membrane.dtype)
