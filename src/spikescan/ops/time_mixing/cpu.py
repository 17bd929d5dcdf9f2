"""A matrix over time; each sum runs over time in order, so that its bits depend on nothing else.

The inputs of a vector of neurons are copied, a chunk of time after the other, to where they lie side by side. The matrix is
packed likewise, once a call: the numbers that a few rows have for an input lie side by side. The sums of these rows then
stay in registers while they walk through the chunk.
"""

from torch import Tensor

from spikescan.ops._arrays import empty, number_like
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    axpy,
    choose,
    load,
    load_numbers,
    load_rows,
    part,
    release,
    row,
    scratch,
    static,
    store,
    store_rows,
    traced,
    whole,
)
from spikescan.ops._threads import parts, spread
from spikescan.ops.fire import cpu as firing
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.time_mixing import _band, _products

__all__ = ["backward", "forward"]

# Rows that share the reading of an input: of the registers, three quarters hold their sums, two of them each.
ROWS = 12 if BYTES == 128 else 6
# Vectors of neurons for which the matrix is read once, and steps of a chunk: that of a vector fits the first cache.
PANEL = 4
CHUNK = 192
# Inputs that a row of a band takes, up to which it is walked like a filter; a wider one is a matrix that is partly left out.
NARROW = 128


@kernel
def _pack_matrix(weight_at, bias_at, packed_at, like, rows_in, rows_out):
    """Of each `ROWS` rows the biases, then what they have for each input; zeros behind the last row."""
    weight, bias = row(weight_at, rows_out * rows_in, like), row(bias_at, rows_out, like)
    packed = row(packed_at, -(-rows_out // ROWS) * ROWS * (1 + rows_in), like)
    for t in range(rows_out):
        at = t // ROWS * ROWS * (1 + rows_in) + t % ROWS
        packed[at] = bias[t]
        for i in range(rows_in):
            at += ROWS
            packed[at] = weight[t * rows_in + i]


@inline
def _pack(x, packed, n, first, last, neurons, group):
    """The inputs of the vector at neuron n from `first` to `last`, side by side."""
    step = BYTES // x.itemsize
    for i in range(first, last):
        store(packed, (i - first) * step, load(x, i * neurons + n, group), whole(x))


@traced
def _axpy_in_band(inputs, numbers, sums, age, order):
    """As `axpy`, to those sums alone whose row takes the inputs: 0 <= age + its place among the rows < order."""
    age, order = inputs.full(age), inputs.full(order)
    # Not a product with zero, which would not be zero where the inputs are no number.
    return tuple(
        choose((age >= float(-place)) & (age < order - float(place)), inputs.llvm("fma", number, total), total)
        for place, (number, total) in enumerate(zip(numbers, sums, strict=True))
    )


@inline
def _accumulate(packed, matrix, at, sums, first, begin, end, age, order, banded):
    """Add to the sums of some rows what they have for the inputs from `begin` to `end`; `age` is that of input 0."""
    step = BYTES // packed.itemsize
    inside, beyond = begin, end
    if len(banded) > 0:
        # Between these two every row takes the input.
        inside = min(max(begin, age + ROWS - order), end)
        beyond = max(min(end, age + 1), inside)
        for i in range(begin, inside):
            numbers = load_numbers(matrix, at + i * ROWS, 1, sums)
            sums = _axpy_in_band(load(packed, (i - first) * step, whole(packed)), numbers, sums, age - i, order)
    for i in range(inside, beyond):
        sums = axpy(load(packed, (i - first) * step, whole(packed)), load_numbers(matrix, at + i * ROWS, 1, sums), sums)
    if len(banded) > 0:
        for i in range(beyond, end):
            numbers = load_numbers(matrix, at + i * ROWS, 1, sums)
            sums = _axpy_in_band(load(packed, (i - first) * step, whole(packed)), numbers, sums, age - i, order)
    return sums


@inline
def _finish(sums, at, out, membranes, t, n, neurons, rows_out, kind, level, keep, group):
    step = BYTES // out.itemsize
    for each in range(min(ROWS, rows_out - t)):
        h = load(sums, at + each * step, whole(out))
        store(out, (t + each) * neurons + n, fire(h, kind, level), group)
        if keep:
            store(membranes, (t + each) * neurons + n, h, group)


@kernel
def _forward(
    x_at, matrix_at, out_at, membranes_at, like, low, high, neurons, rows_in, rows_out, order, banded, rows, kind, level, keep,
):  # fmt: skip
    x, out = row(x_at, rows_in * neurons, like), row(out_at, rows_out * neurons, like)
    membranes = row(membranes_at, rows_out * neurons if keep else 0, like)
    step, blocks = BYTES // x.itemsize, -(-rows_out // ROWS)
    height, length = ROWS * step, ROWS * (1 + rows_in)
    matrix = row(matrix_at, blocks * length, like)
    newest = rows_in - rows_out  # row t sees the input t + newest last, where the matrix is banded
    packed, sums = scratch(CHUNK * step, x), scratch(blocks * PANEL * height, x)
    for start in range(low, high, PANEL * step):
        stop = min(start + PANEL * step, high)
        for first in range(0, max(rows_in, 1), CHUNK):
            last = min(first + CHUNK, rows_in)
            for n in range(start, stop, step):
                if stop - n >= step:
                    _pack(x, packed, n, first, last, neurons, whole(x))
                else:
                    _pack(x, packed, n, first, last, neurons, part(x, stop - n))
                at = (n - start) // step * blocks * height
                for block in range(blocks):
                    t = block * ROWS
                    begin, end = first, last
                    if len(banded) > 0:
                        begin, end = max(first, t + newest - order + 1), min(last, t + ROWS + newest)
                    if first == 0:
                        store_rows(sums, at, step, load_numbers(matrix, block * length, 1, rows), whole(x))
                    if begin < end:
                        charged = _accumulate(
                            packed, matrix, block * length + ROWS, load_rows(sums, at, step, rows, whole(x)), first, begin,
                            end, t + newest, order, banded,
                        )  # fmt: skip
                        store_rows(sums, at, step, charged, whole(x))
                    if last == rows_in:
                        if stop - n >= step:
                            _finish(sums, at, out, membranes, t, n, neurons, rows_out, kind, level, keep, whole(x))
                        else:
                            group = part(x, stop - n)
                            _finish(sums, at, out, membranes, t, n, neurons, rows_out, kind, level, keep, group)
                    at += height
    release(packed)
    release(sums)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, order: int | None, kind: int, numbers: list[float], keep: bool
) -> tuple[Tensor, Tensor]:
    """The output ``[T_out, N]`` and, if `keep`, what was fired."""
    if order is not None and order <= NARROW:
        return _band.forward(x, weight, bias, order, kind, numbers, keep)
    (rows_out, rows_in), neurons = weight.shape, x.shape[1]
    inputs, matrix = in_compute_dtype(x), _packed(weight, bias)
    out = empty((rows_out, neurons), x)
    membranes = empty((rows_out, neurons) if keep else (0,), x)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, matrix, out, membranes))
    banded, rows = static(order is not None), static(ROWS)
    taps = rows_in if order is None else min(order, rows_in)

    def run(_: int, low: int, high: int) -> None:
        _forward(
            *addresses, number_like(out), low, high, neurons, rows_in, rows_out, taps, banded, rows, static(kind), numbers[0],
            keep,
        )  # fmt: skip

    grain = BYTES // out.itemsize
    spread(run, neurons, grain, parts(neurons, rows_out * -(-taps // 16), grain))
    return out.to(x.dtype), membranes


def _packed(weight: Tensor, bias: Tensor) -> Tensor:
    """The matrix and its biases as `_pack_matrix` writes them."""
    rows_out, rows_in = weight.shape
    packed = weight.new_zeros(-(-rows_out // ROWS) * ROWS * (1 + rows_in))
    _pack_matrix(weight.data_ptr(), bias.data_ptr(), packed.data_ptr(), number_like(weight), rows_in, rows_out)
    return packed


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, membranes: Tensor, order: int | None, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    if order is not None and order <= NARROW:
        return _band.backward(grad, x, weight, membranes, order, kind, numbers)
    return _products.backward(firing.backward(grad.to(weight.dtype), membranes, kind, numbers), x, weight, order)
