"""Firing on vectors of neurons; the table of kinds is at `spikescan.ops._firing.Kind`."""

import math

import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops._compile import inline, kernel
from spikescan.ops._firing import Kind
from spikescan.ops._simd import (
    BYTES,
    LOG2_E,
    Vector,
    choose,
    clamped,
    exp2_of,
    load,
    part,
    row,
    static,
    store,
    traced,
    whole,
)
from spikescan.ops._threads import parts, spread


@traced
def spikes(h, kind, level):
    """The output of the membrane `h`; `kind` is static."""
    if len(kind) == Kind.IDENTITY:
        return h
    if len(kind) == Kind.INTEGER:
        return clamped(h.llvm("rint"), 0.0, level)
    return choose(h >= level, h.full(1.0), 0.0)


@traced
def through(grad, h, kind, level, a, b, c):
    """The gradient of the membrane `h` from that of its spikes; `kind` is static."""
    if len(kind) == Kind.IDENTITY:
        return grad
    if len(kind) == Kind.INTEGER:
        return choose((h >= 0.0) & (h <= level), grad, 0.0)
    return grad * _surrogate(h - level, Kind(len(kind)), h.full(a), h.full(b), h.full(c))


def _surrogate(x: Vector, kind: Kind, a: Vector, b: Vector, c: Vector) -> Vector:
    """The shape that stands in for the derivative of a step at 0."""
    if kind == Kind.ATAN:
        z = x * (a * (0.5 * math.pi))
        return a * 0.5 / (z * z + 1.0)
    if kind == Kind.SIGMOID:
        s = 1.0 / (exp_of(x * a * -1.0) + 1.0)
        return a * s * (1.0 - s)
    if kind == Kind.TRIANGULAR:
        return clamped(1.0 - x.llvm("fabs") / a, 0.0, 1.0) / a
    if kind == Kind.RECTANGULAR:
        return choose(x.llvm("fabs") < a * 0.5, 1.0 / a, 0.0)
    if kind == Kind.FAST_SIGMOID:
        z = x.llvm("fabs") * a + 1.0
        return 1.0 / (z * z)
    return (b + 1.0) * _gaussian(x, a) - b * _gaussian(x - a, c * a) - b * _gaussian(x + a, c * a)


def _gaussian(x: Vector, deviation: Vector) -> Vector:
    z = x / deviation
    return exp_of(z * z * -0.5) / (deviation * math.sqrt(2.0 * math.pi))


def exp_of(a: Vector) -> Vector:
    """e^a; the relative error grows to |a| units in the last place, from the rounding of a / log(2)."""
    return exp2_of(a * LOG2_E)


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
        _fire(h.data_ptr(), out.data_ptr(), number_like(h), low, high, size, static(kind), numbers[0])

    grain = BYTES // h.itemsize
    spread(run, size, grain, parts(size, 1, grain))
    return out.to(membrane.dtype)


def backward(grad: Tensor, membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """The gradient of the membrane."""
    h = in_compute_dtype(membrane)
    g = grad.to(h.dtype)
    out = torch.empty_like(h)
    size = h.numel()

    def run(_: int, low: int, high: int) -> None:
        _through(g.data_ptr(), h.data_ptr(), out.data_ptr(), number_like(h), low, high, size, static(kind), *numbers)

    grain = BYTES // h.itemsize
    spread(run, size, grain, parts(size, 1, grain))
    return out.to(membrane.dtype)
