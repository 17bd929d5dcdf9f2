"""A matrix over time; each sum runs over time in order, so that its bits depend on nothing else.

The inputs of a vector of neurons are copied, a chunk of time after the other, to where they lie side by side. The sums of a
few rows then stay in registers while they walk through the chunk. A few vectors take turns at these rows, so that what the
matrix holds for them is read from the first cache.
"""

from torch import Tensor
from torch.nn.functional import pad

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
# Vectors of neurons that take turns at some rows, and steps of a chunk: that of a vector fits the first cache.
PANEL = 8
CHUNK = 192
# Inputs that a row of a band takes, up to which it is walked like a filter; a wider one is a matrix that is partly left out.
NARROW = 128


@inline
def _pack(x, packed, behind, n, first, last, neurons, group):
    """The inputs of the vector at neuron n from `first` to `last`, side by side, `behind` others."""
    step = BYTES // x.itemsize
    for i in range(first, last):
        store(packed, (behind + i - first) * step, load(x, i * neurons + n, group), whole(x))


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
def _accumulate(packed, matrix, at, stride, sums, origin, begin, end, age, order, banded):
    """Add to the sums of some rows what they have for the inputs from `begin` to `end`.

    Input i lies i - origin vectors behind the first that is packed; `age` is that of input 0.
    """
    step = BYTES // packed.itemsize
    inside, beyond = begin, end
    if len(banded) > 0:
        # Between these two every row takes the input.
        inside = min(max(begin, age + ROWS - order), end)
        beyond = max(min(end, age + 1), inside)
        for i in range(begin, inside):
            numbers = load_numbers(matrix, at + i, stride, sums)
            sums = _axpy_in_band(load(packed, (i - origin) * step, whole(packed)), numbers, sums, age - i, order)
    for i in range(inside, beyond):
        sums = axpy(load(packed, (i - origin) * step, whole(packed)), load_numbers(matrix, at + i, stride, sums), sums)
    if len(banded) > 0:
        for i in range(beyond, end):
            numbers = load_numbers(matrix, at + i, stride, sums)
            sums = _axpy_in_band(load(packed, (i - origin) * step, whole(packed)), numbers, sums, age - i, order)
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
    x_at, matrix_at, last_at, bias_at, out_at, membranes_at, like, low, high, neurons, rows_in, rows_out, order, banded, rows,
    kind, level, keep,
):  # fmt: skip
    x, out = row(x_at, rows_in * neurons, like), row(out_at, rows_out * neurons, like)
    membranes = row(membranes_at, rows_out * neurons if keep else 0, like)
    step, blocks = BYTES // x.itemsize, -(-rows_out // ROWS)
    height = ROWS * step
    matrix, last_rows = row(matrix_at, rows_out * rows_in, like), row(last_at, ROWS * rows_in, like)
    bias = row(bias_at, blocks * ROWS, like)
    newest = rows_in - rows_out  # row t sees the input t + newest last, where the matrix is banded
    # Rows of one chunk stay in the first cache from vector to vector by themselves.
    panel = PANEL if rows_in > CHUNK else 1
    packed, sums = scratch(panel * CHUNK * step, x), scratch(blocks * panel * height, x)
    for start in range(low, high, panel * step):
        stop = min(start + panel * step, high)
        for first in range(0, max(rows_in, 1), CHUNK):
            last = min(first + CHUNK, rows_in)
            for n in range(start, stop, step):
                behind = (n - start) // step * CHUNK
                if stop - n >= step:
                    _pack(x, packed, behind, n, first, last, neurons, whole(x))
                else:
                    _pack(x, packed, behind, n, first, last, neurons, part(x, stop - n))
            for block in range(blocks):
                t = block * ROWS
                # What is read beyond the last row are zeros.
                source, place = (matrix, t * rows_in) if t + ROWS <= rows_out else (last_rows, 0)
                begin, end = first, last
                if len(banded) > 0:
                    begin, end = max(first, t + newest - order + 1), min(last, t + ROWS + newest)
                for n in range(start, stop, step):
                    origin = first - (n - start) // step * CHUNK
                    at = block * panel * height + (n - start) * ROWS
                    if first == 0:
                        store_rows(sums, at, step, load_numbers(bias, t, 1, rows), whole(x))
                    if begin < end:
                        charged = _accumulate(
                            packed, source, place, rows_in, load_rows(sums, at, step, rows, whole(x)), origin, begin, end,
                            t + newest, order, banded,
                        )  # fmt: skip
                        store_rows(sums, at, step, charged, whole(x))
                    if last == rows_in:
                        if stop - n >= step:
                            _finish(sums, at, out, membranes, t, n, neurons, rows_out, kind, level, keep, whole(x))
                        else:
                            group = part(x, stop - n)
                            _finish(sums, at, out, membranes, t, n, neurons, rows_out, kind, level, keep, group)
    release(packed)
    release(sums)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, order: int | None, kind: int, numbers: list[float], keep: bool
) -> tuple[Tensor, Tensor]:
    """The output ``[T_out, N]`` and, if `keep`, what was fired."""
    if order is not None and order <= NARROW:
        return _band.forward(x, weight, bias, order, kind, numbers, keep)
    (rows_out, rows_in), neurons = weight.shape, x.shape[1]
    inputs, beyond = in_compute_dtype(x), -rows_out % ROWS
    # The last rows, and the biases, with zeros behind: a block always has all of its rows.
    last_rows = pad(weight[rows_out // ROWS * ROWS :], (0, 0, 0, beyond))
    biases = pad(bias, (0, beyond))
    out = empty((rows_out, neurons), x)
    membranes = empty((rows_out, neurons) if keep else (0,), x)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, weight, last_rows, biases, out, membranes))
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


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, membranes: Tensor, order: int | None, kind: int, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    if order is not None and order <= NARROW:
        return _band.backward(grad, x, weight, membranes, order, kind, numbers)
    return _products.backward(firing.backward(grad.to(weight.dtype), membranes, kind, numbers), x, weight, order)
