"""A linear layer whose sums run over the inputs in order, so that their bits depend on nothing else; zeros cost little.

Rows of the input go in blocks. Where a block is mostly zeros, as spikes are, the other numbers of each row are listed, and only
their weights are read. Elsewhere a few rows at a time share the reading of each weight. Both add the same products in the same
order, as one with zero changes no sum. Both want the weights packed, which for some rows takes longer than the products: there
rows and weights change places. For the gradient of the weights each input's rows are marked in the bits of a number.
"""

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    axpy,
    bits_set,
    fma,
    full,
    load,
    load_numbers,
    load_rows,
    lowest_cleared,
    occupied,
    part,
    release,
    row,
    scratch,
    static,
    store,
    store_rows,
    trailing_zeros,
    whole,
)
from spikescan.ops._threads import parts, spread

__all__ = ["backward", "forward", "outputs"]

# Vectors of outputs whose sums stay in registers, while a row's inputs are gone through.
PANEL = 4
# Rows that share the reading of a weight where most inputs count: of the registers, three quarters hold their sums.
TOGETHER = 12 if BYTES == 128 else 6
# Rows of a block, no more than a number has bits: their inputs and the weights of a panel stay in the second cache.
BLOCK = 60
# Up to so many rows the weights are looked up where they lie: one row always, others while they add no more look-ups than this.
FEW = 4
LOOKUPS = 1 << 16
# Up to so many rows, the rows are packed in place of the weights.
SOME = 32
# The share of inputs other than zero from which on it is quicker to multiply by all, for very many outputs: a list of inputs is
# made once for all of them. Measured on one processor of each kind.
DENSE = 0.4 if BYTES == 128 else 0.5
DENSE_BACK = 0.3 if BYTES == 128 else 0.65


@kernel
def _pack(weight_at, packed_at, like, inputs, outputs, width):
    """The weights ``[O, I]`` as panels: each input's weights of `width` outputs side by side; zeros behind the last."""
    weight = row(weight_at, outputs * inputs, like)
    packed = row(packed_at, -(-outputs // width) * width * inputs, like)
    for out in range(outputs):
        at = out // width * width * inputs + out % width
        for i in range(inputs):
            packed[at + i * width] = weight[out * inputs + i]


@inline
def _present(x, at, size):
    """Which of up to 64 numbers from `at` on are not zero, a bit each."""
    step, bits = BYTES // x.itemsize, 0
    for i in range(0, size, step):
        if size - i >= step:
            bits |= occupied(load(x, at + i, whole(x))) << i
        else:
            bits |= occupied(load(x, at + i, part(x, size - i))) << i
    return bits


@inline
def _mark(x, at, rows, inputs, marks):
    """Mark the numbers of some rows that are not zero, a bit each, and return how many they are."""
    count, place = 0, 0
    for each in range(rows):
        for i in range(0, inputs, 64):
            bits = _present(x, at + each * inputs + i, min(inputs - i, 64))
            marks[place] = bits
            count += bits_set(bits)
            place += 1
    return count


@inline
def _list(marks, place, inputs, listed, first):
    """List the marked numbers of the row whose marks begin at `place`, and return how many they are.

    By 64 at a time: how often the inner loop goes round cannot be foretold, and each time costs as much as several numbers.
    """
    count = 0
    for i in range(0, inputs, 64):
        left = marks[place + i // 64]
        while left != 0:
            listed[first + count] = i + trailing_zeros(left)
            left = lowest_cleared(left)
            count += 1
    return count


@inline
def _put(total, bias, y, each, out, outputs, biased, group):
    store(y, each * outputs + out, total + load(bias, out, group) if biased else total, group)


@inline
def _finish(sums, at, bias, y, each, first, outputs, biased, panel):
    """Write one row's outputs of a panel."""
    step = BYTES // y.itemsize
    for out in range(first, min(first + len(panel) * step, outputs), step):
        if outputs - out >= step:
            _put(load(sums, at + out - first, whole(y)), bias, y, each, out, outputs, biased, whole(y))
        else:
            _put(load(sums, at + out - first, whole(y)), bias, y, each, out, outputs, biased, part(y, outputs - out))


@inline
def _all_inputs(x, packed, bias, y, sums, each, weights, first, inputs, outputs, biased, panel, together):
    """The outputs of a panel for `together` rows, of which every input is taken."""
    step = BYTES // x.itemsize
    width = len(panel) * step
    for vector in range(0, width, step):
        added = load_rows(sums, 0, 0, together, whole(x))
        for i in range(inputs):
            numbers = load_numbers(x, each * inputs + i, inputs, together)
            added = axpy(load(packed, weights + i * width + vector, whole(x)), numbers, added)
        store_rows(sums, step + vector, width, added, whole(x))
    for place in range(len(together)):
        _finish(sums, step + place * width, bias, y, each + place, first, outputs, biased, panel)


@inline
def _listed_inputs(x, packed, bias, y, sums, each, weights, first, inputs, outputs, biased, listed, begin, end, panel):
    """The outputs of a panel for one row, of which the listed inputs are taken."""
    step = BYTES // x.itemsize
    width = len(panel) * step
    added = load_rows(sums, 0, 0, panel, whole(x))
    for entry in range(begin, end):
        i = listed[entry]
        added = axpy(
            full(x[each * inputs + i], whole(x)), load_rows(packed, weights + i * width, step, panel, whole(x)), added
        )
    if first + width <= outputs:
        if biased:
            added = axpy(full(1.0, whole(x)), load_rows(bias, first, step, panel, whole(x)), added)
        store_rows(y, each * outputs + first, step, added, whole(x))
    else:
        store_rows(sums, step, step, added, whole(x))
        _finish(sums, step, bias, y, each, first, outputs, biased, panel)


@kernel
def _forward(
    x_at, packed_at, bias_at, y_at, taken_at, like, low, high, rows, inputs, outputs, biased, dense, panel, together
):  # fmt: skip
    x, y = row(x_at, rows * inputs, like), row(y_at, rows * outputs, like)
    bias, step = row(bias_at, outputs if biased else 0, like), BYTES // x.itemsize
    width = len(panel) * step
    packed = row(packed_at, -(-outputs // width) * width * inputs, like)
    words = -(-inputs // 64)
    listed, counts = np.empty(BLOCK * inputs + 1, np.int32), np.empty(BLOCK, np.int64)
    marks = np.empty(BLOCK * words, np.int64)
    sums = scratch(step + len(together) * width, x)  # zeros, then what is summed
    taken = 0
    for start in range(low, high, BLOCK):
        stop = min(start + BLOCK, high)
        present = _mark(x, start * inputs, stop - start, inputs, marks)
        taken += present
        middle = start
        if present > dense * (stop - start) * inputs:
            middle += (stop - start) // len(together) * len(together)
        for each in range(middle, stop):
            counts[each - start] = _list(marks, (each - start) * words, inputs, listed, (each - start) * inputs)
        for first in range(0, outputs, width):
            for each in range(start, middle, len(together)):
                _all_inputs(
                    x, packed, bias, y, sums, each, first * inputs, first, inputs, outputs, biased, panel, together
                )
            for each in range(middle, stop):
                begin = (each - start) * inputs
                _listed_inputs(
                    x, packed, bias, y, sums, each, first * inputs, first, inputs, outputs, biased, listed, begin,
                    begin + counts[each - start], panel,
                )  # fmt: skip
    release(sums)
    row(taken_at, 1, np.int64(0))[0] = taken


@kernel
def _few(x_at, weight_at, bias_at, y_at, like, rows, inputs, outputs, biased):
    """As `_forward`, without panels; False, and nothing done, where very much is to be looked up."""
    x, weight = row(x_at, rows * inputs, like), row(weight_at, outputs * inputs, like)
    y, bias = row(y_at, rows * outputs, like), row(bias_at, outputs if biased else 0, like)
    words = -(-inputs // 64)
    marks = np.empty(rows * words, np.int64)
    if (_mark(x, 0, rows, inputs, marks) - inputs) * outputs > LOOKUPS:
        return False
    step = BYTES // x.itemsize
    listed, column = np.empty(inputs + 1, np.int32), scratch(step, x)
    for each in range(rows):
        count = _list(marks, each * words, inputs, listed, 0)
        for out in range(0, outputs, step):
            total = full(0.0, whole(x))
            lanes = min(outputs - out, step)
            for entry in range(count):
                i = listed[entry]
                for lane in range(lanes):
                    column[lane] = weight[(out + lane) * inputs + i]
                total = fma(load(column, 0, whole(x)), full(x[each * inputs + i], whole(x)), total)
            _put(total, bias, y, each, out, outputs, biased, part(y, lanes))
    release(column)
    return True


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The outputs ``[R, O]``, and how many inputs are not zero (of up to `SOME` rows: how many there are)."""
    if len(x) <= SOME:
        return outputs(x, weight, bias), x.new_full((), x.numel(), dtype=torch.int64)
    y, taken = _products(x, weight, bias, _panel(len(weight), x))
    return y, taken.sum()


def outputs(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The outputs alone, for a call that has no gradient."""
    (rows, inputs), outputs = x.shape, weight.shape[0]
    if rows > SOME:
        return _products(x, weight, bias, _panel(outputs, x))[0]
    y = x.new_empty(rows, outputs)
    if rows <= FEW:
        bias_at, biased = (0, False) if bias is None else (bias.data_ptr(), True)
        if _few(x.data_ptr(), weight.data_ptr(), bias_at, y.data_ptr(), number_like(x), rows, inputs, outputs, biased):
            return y
    turned = _products(weight, x, None, 1)[0].t()
    return y.copy_(turned) if bias is None else torch.add(turned, bias, out=y)


def _products(x: Tensor, weight: Tensor, bias: Tensor | None, panel: int) -> tuple[Tensor, Tensor]:
    """The outputs of rows that are gone through in blocks, and how many inputs are not zero, by range; `panel` in vectors."""
    rows, (outputs, inputs) = len(x), weight.shape
    y, like = x.new_empty(rows, outputs), number_like(x)
    bias_at, biased = (0, False) if bias is None else (bias.data_ptr(), True)
    width = panel * BYTES // x.itemsize
    packed = weight.new_zeros(-(-outputs // width) * width * inputs)
    _pack(weight.data_ptr(), packed.data_ptr(), like, inputs, outputs, width)
    count = parts(rows, -(-inputs * outputs // 16), BLOCK)
    dense = _share(DENSE, outputs, x)
    taken = torch.empty(count, dtype=torch.int64)
    addresses = x.data_ptr(), packed.data_ptr(), bias_at, y.data_ptr()

    def run(part: int, low: int, high: int) -> None:
        _forward(
            *addresses, taken[part].data_ptr(), like, low, high, rows, inputs, outputs, biased, dense, static(panel),
            static(TOGETHER),
        )  # fmt: skip

    spread(run, rows, BLOCK, count)
    return y, taken


def _share(of_many: float, outputs: int, like: Tensor) -> float:
    """Of inputs other than zero, from which on all are taken."""
    return of_many * max(1.0 - BYTES / like.itemsize / max(outputs, 1), 0.0)


def _panel(outputs: int, like: Tensor) -> int:
    """Vectors of a panel: one where it holds all outputs."""
    return PANEL if outputs > BYTES // like.itemsize else 1


@inline
def _mark_rows(x, start, stop, inputs, marks):
    """For each input mark the rows of a block where it is not zero, a bit each."""
    for i in range(inputs):
        marks[i] = 0
    for each in range(start, stop):
        for i in range(0, inputs, 64):
            left = _present(x, each * inputs + i, min(inputs - i, 64))
            while left != 0:
                marks[i + trailing_zeros(left)] |= 1 << (each - start)
                left = lowest_cleared(left)


@kernel
def _of_weight(grad_at, x_at, totals_at, like, low, high, rows, inputs, outputs, panel):
    """Add to a table ``[I, O]`` what the rows from `low` to `high` give to the gradient of the weights."""
    grad, x = row(grad_at, rows * outputs, like), row(x_at, rows * inputs, like)
    step = BYTES // x.itemsize
    width = len(panel) * step
    padded = -(-outputs // width) * width
    totals = row(totals_at, inputs * padded, like)
    marks = np.empty(inputs, np.int64)
    block = scratch(BLOCK * width, x)
    for start in range(low, high, BLOCK):
        stop = min(start + BLOCK, high)
        _mark_rows(x, start, stop, inputs, marks)
        for first in range(0, outputs, width):
            for each in range(start, stop):
                for out in range(first, min(first + width, outputs), step):
                    at = (each - start) * width + out - first
                    if outputs - out >= step:
                        store(block, at, load(grad, each * outputs + out, whole(x)), whole(x))
                    else:
                        store(block, at, load(grad, each * outputs + out, part(x, outputs - out)), whole(x))
            for i in range(inputs):
                at = i * padded + first
                added = load_rows(totals, at, step, panel, whole(x))
                left = marks[i]
                while left != 0:
                    place = trailing_zeros(left)
                    left = lowest_cleared(left)
                    number = full(x[(start + place) * inputs + i], whole(x))
                    added = axpy(number, load_rows(block, place * width, step, panel, whole(x)), added)
                store_rows(totals, at, step, added, whole(x))
    release(block)


def backward(grad: Tensor, x: Tensor, taken: Tensor) -> Tensor:
    """The gradient of the weight ``[O, I]``."""
    (rows, inputs), outputs = x.shape, grad.shape[1]
    panel = _panel(outputs, x)
    width = panel * BYTES // x.itemsize
    padded = -(-outputs // width) * width
    count = min(parts(rows, -(-inputs * outputs // 16), BLOCK), torch.get_num_threads())
    larger_than_the_inputs = count * padded > rows
    if larger_than_the_inputs or int(taken) > _share(DENSE_BACK, outputs, x) * x.numel():
        return grad.t() @ x
    totals = x.new_zeros(count, inputs, padded)

    def run(part: int, low: int, high: int) -> None:
        _of_weight(
            grad.data_ptr(), x.data_ptr(), totals[part].data_ptr(), number_like(x), low, high, rows, inputs, outputs,
            static(panel),
        )  # fmt: skip

    spread(run, rows, BLOCK, count)
    return totals.sum(0)[:, :outputs].t().contiguous()
