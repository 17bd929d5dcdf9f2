"""What the Triton kernels share: how work is laid out and launched, the gate, the firing table.

Every kernel is a walk over time. A program holds a tile of neurons, ``rows`` samples by ``columns`` places of one sample
(a place is a channel and a position in space), and walks through one chunk of the steps with their state in registers.
Parameters' gradients are summed in registers and written once a program, for torch to add: no atomics, so the same bits in
every run.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._firing import Kind

__all__ = [
    "Launch",
    "Tile",
    "append",
    "channel_sum",
    "configure",
    "derivative",
    "fire",
    "gate",
    "load_past",
    "load_taps",
    "position",
    "store_sum",
    "strip",
    "valid_steps",
    "weighted_sum",
]

WARPS = 2048  # what keeps a large GPU busy: 16 warps on each of its 130 or so processors
ELEMENTS = 128  # neurons a program
CHUNKED_FROM = 256  # steps; below, three launches cost more than they save

IDENTITY = tl.constexpr(Kind.IDENTITY.value)
INTEGER = tl.constexpr(Kind.INTEGER.value)
ATAN = tl.constexpr(Kind.ATAN.value)
SIGMOID = tl.constexpr(Kind.SIGMOID.value)
TRIANGULAR = tl.constexpr(Kind.TRIANGULAR.value)
RECTANGULAR = tl.constexpr(Kind.RECTANGULAR.value)
FAST_SIGMOID = tl.constexpr(Kind.FAST_SIGMOID.value)
PI = tl.constexpr(math.pi)
ROOT_TWO_PI = tl.constexpr(math.sqrt(2.0 * math.pi))


class Tile(NamedTuple):
    """How much of ``[T, B, places]`` one program takes, and how many programs that makes."""

    rows: int
    columns: int
    chunk: int
    tiles: int
    row_tiles: int
    chunks: int
    warps: int

    @property
    def grid(self) -> tuple[int, int]:
        return self.tiles, self.chunks


def configure(steps: int, rows: int, columns: int, *, taps: int = 1, carried: bool = True) -> Tile:
    """The layout for ``[steps, rows, columns]``, chosen by its shape.

    Many neurons: one program walks through all steps. Few: the steps are cut into chunks that are walked at once.

    Args:
        steps: T.
        rows: samples.
        columns: places of a sample.
        taps: of the filter that a program keeps in registers; a chunk is never shorter.
        carried: whether a state goes from chunk to chunk. Cutting then reads the input twice and adds a walk over the
            chunks, so it waits until the neurons fill less than a quarter of the machine, and T chunks would be too many:
            the walks through a chunk (twice) and over the chunks are shortest together at sqrt(2 T) chunks.
    """
    width = min(triton.next_power_of_2(max(columns, 1)), ELEMENTS // 2)
    height = min(triton.next_power_of_2(max(rows, 1)), ELEMENTS // width)
    width = min(triton.next_power_of_2(max(columns, 1)), ELEMENTS // height)
    # Filters live in registers, four a tap and neuron in the backward pass: a long one leaves room for one neuron a thread.
    warps = max(width * height // (64 if taps <= 8 else 32), 1)
    row_tiles = triton.cdiv(rows, height)
    tiles = row_tiles * triton.cdiv(columns, width)
    room = WARPS // max(tiles * warps, 1)
    chunks = (
        (min(room, math.isqrt(2 * steps)) if room >= 4 and steps >= CHUNKED_FROM else 1)
        if carried
        else min(room, steps)
    )
    chunk = max(triton.cdiv(steps, max(chunks, 1)), taps)
    return Tile(height, width, chunk, tiles, row_tiles, max(triton.cdiv(steps, chunk), 1), warps)


@dataclass(frozen=True)
class Launch:
    """A kernel and all it is called with; apart from `run`, so that tests can compile what would be launched."""

    kernel: Any
    grid: tuple[int, ...]
    warps: int
    arguments: dict[str, Any]

    def run(self) -> None:
        if 0 in self.grid:
            return
        tensor = next(value for value in self.arguments.values() if isinstance(value, Tensor))
        with torch.cuda.device_of(tensor):
            self.kernel[self.grid](**self.arguments, num_warps=self.warps)


def channel_sum(partials: Tensor, channels: int) -> Tensor:
    """The partial sums ``[programs, P, C * S]`` of P parameters a channel, added up: ``[P, C]``."""
    programs, parameters, places = partials.shape
    return partials.view(programs, parameters, channels, places // max(channels, 1)).sum((0, 3))


@triton.jit
def append(values: tl.tuple, value: tl.tensor) -> tl.tuple:
    return values + (value,)  # noqa: RUF005 (Triton does not unpack)


@triton.jit
def position(rows: tl.tensor, columns: tl.tensor, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> tl.tuple:
    """The rows ``[ROWS, 1]`` and the columns ``[1, COLUMNS]`` of this program's tile."""
    across = tl.cdiv(columns, COLUMNS)
    row = tl.program_id(0) // across * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    return row, column


@triton.jit
def strip(rows: tl.tensor, columns: tl.tensor, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> tl.tensor:
    """The number of this program among those with the same columns: other rows, other chunks."""
    return tl.program_id(1) * tl.cdiv(rows, ROWS) + tl.program_id(0) // tl.cdiv(columns, COLUMNS)


@triton.jit
def valid_steps(lengths: tl.tensor, row: tl.tensor, rows: tl.tensor, T: tl.tensor, ROWS: tl.constexpr) -> tl.tensor:
    """The valid steps of each row, ``[ROWS, 1]``."""
    if lengths is None:
        steps = tl.zeros((ROWS, 1), tl.int32) + T
    else:
        steps = tl.load(lengths + row, mask=row < rows, other=0).to(tl.int32)
    return steps


@triton.jit
def store_sum(partials: tl.tensor, tile: tl.tensor, line: tl.tensor, column: tl.tensor, columns: tl.tensor) -> None:
    """The sum over the rows of a tile, into a line of `partials` ``[lines, columns]``."""
    place = line.to(tl.int64) * columns + column
    tl.store(partials + place, tl.sum(tile, axis=0, keep_dims=True), mask=column < columns)


@triton.jit
def load_past(
    sequence: tl.tensor,
    before: tl.tensor,
    t: tl.tensor,
    width: tl.tensor,
    stride: tl.tensor,
    place: tl.tensor,
    mask: tl.tensor,
) -> tl.tensor:
    """Step t of a sequence; of the `width` steps `before` it, in their dtype, where t < 0."""
    D = before.dtype.element_ty
    now = tl.load(sequence + t * stride + place, mask=mask & (t >= 0), other=0.0).to(D)
    return now + tl.load(before + (t + width) * stride + place, mask=mask & (t < 0), other=0.0)


@triton.jit
def load_taps(weight: tl.tensor, channel: tl.tensor, mask: tl.tensor, K: tl.constexpr) -> tl.tuple:
    """The K taps of these channels."""
    taps = ()
    for tap in tl.static_range(K):
        taps = append(taps, tl.load(weight + channel * K + tap, mask=mask, other=0.0))
    return taps


@triton.jit
def weighted_sum(taps: tl.tuple, inputs: tl.tuple, bias: tl.tensor, K: tl.constexpr) -> tl.tensor:
    """The sum bias + sum_i taps_i inputs_i, in the order of i."""
    total = bias
    for tap in tl.static_range(K):
        total = total + taps[tap] * inputs[tap]
    return total


@triton.jit
def _log1p(x: tl.tensor) -> tl.tensor:
    """log(1 + x) for 0 <= x <= 1, as 2 atanh(x / (2 + x)): nothing cancels where x is small."""
    TERMS: tl.constexpr = 18 if x.dtype == tl.float64 else 8
    s = x / (2.0 + x)
    series = tl.zeros_like(x)
    for n in tl.static_range(TERMS):
        series = series * s * s + 1.0 / (2 * (TERMS - n) - 1)
    return 2.0 * s * series


@triton.jit
def _expm1(x: tl.tensor) -> tl.tensor:
    """exp(x) - 1 for x <= 0: the Taylor series where the difference would cancel."""
    TERMS: tl.constexpr = 17 if x.dtype == tl.float64 else 9
    near = tl.maximum(x, -0.5)
    series = tl.full(x.shape, 1.0, x.dtype)
    for n in tl.static_range(TERMS - 1):
        series = 1.0 + near * series / (TERMS - n)
    return tl.where(x > -0.5, near * series, tl.exp(x) - 1.0)


@triton.jit
def gate(a: tl.tensor, exponent: tl.tensor, SQUARINGS: tl.constexpr) -> tl.tuple:
    """The decay ``sigmoid(a)^exponent``, one minus it, and ``1 - sigmoid(a)``; no difference of close numbers is taken."""
    e = tl.exp(-tl.abs(a))
    larger = 1.0 / (1.0 + e)
    smaller = e * larger
    closed = tl.where(a >= 0.0, smaller, larger)
    if SQUARINGS is not None:
        decay = tl.where(a >= 0.0, larger, smaller)
        rest = closed
        for _ in tl.static_range(SQUARINGS):
            rest *= 1.0 + decay  # 1 - s^2 = (1 - s)(1 + s)
            decay *= decay
    else:
        log_decay = exponent * (tl.minimum(a, 0.0) - _log1p(e))
        decay = tl.exp(log_decay)
        rest = -_expm1(log_decay)
    return decay, rest, closed


@triton.jit
def _round(x: tl.tensor) -> tl.tensor:
    """To the nearest integer, half to even, for abs(x) < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction."""
    MAGIC: tl.constexpr = 6755399441055744.0 if x.dtype == tl.float64 else 12582912.0
    return (x + MAGIC) - MAGIC


@triton.jit
def fire(h: tl.tensor, level: tl.tensor, KIND: tl.constexpr) -> tl.tensor:
    """The spikes of the membrane h; the table stands at `Kind`."""
    level = tl.full((), level, h.dtype)
    if KIND == IDENTITY:
        spikes = h
    elif KIND == INTEGER:
        # Limited before rounding too, where the membrane may be of any size; a NaN stays one.
        wide = tl.minimum(tl.maximum(h, -1.0, tl.PropagateNan.ALL), level + 1.0, tl.PropagateNan.ALL)
        spikes = tl.minimum(tl.maximum(_round(wide), 0.0, tl.PropagateNan.ALL), level, tl.PropagateNan.ALL)
    else:
        spikes = (h >= level).to(h.dtype)
    return spikes


@triton.jit
def _gaussian(x: tl.tensor, deviation: tl.tensor) -> tl.tensor:
    precision = 1.0 / deviation
    z = x * precision
    return tl.exp(-0.5 * z * z) * (precision / ROOT_TWO_PI)


@triton.jit
def derivative(
    h: tl.tensor, level: tl.tensor, a: tl.tensor, b: tl.tensor, c: tl.tensor, KIND: tl.constexpr
) -> tl.tensor:
    """The derivative that stands in for that of `fire`; the table stands at `Kind`."""
    level = tl.full((), level, h.dtype)
    a = tl.full((), a, h.dtype)
    b = tl.full((), b, h.dtype)
    c = tl.full((), c, h.dtype)
    x = h - level
    if KIND == IDENTITY:
        slope = tl.full(h.shape, 1.0, h.dtype)
    elif KIND == INTEGER:
        slope = ((h >= 0.0) & (h <= level)).to(h.dtype)
    elif KIND == ATAN:
        z = 0.5 * PI * a * x
        slope = 0.5 * a / (1.0 + z * z)
    elif KIND == SIGMOID:
        e = tl.exp(-tl.abs(a * x))
        slope = a * e / ((1.0 + e) * (1.0 + e))
    elif KIND == TRIANGULAR:
        slope = tl.maximum(1.0 - tl.abs(x) / a, 0.0) / a
    elif KIND == RECTANGULAR:
        slope = (tl.abs(x) < 0.5 * a).to(h.dtype) / a
    elif KIND == FAST_SIGMOID:
        z = 1.0 + a * tl.abs(x)
        slope = 1.0 / (z * z)
    else:
        slope = (1.0 + b) * _gaussian(x, a) - b * (_gaussian(x - a, c * a) + _gaussian(x + a, c * a))
    return slope
