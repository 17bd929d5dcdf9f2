"""What causal filters over time share on the CPU: tables of taps, panels, and the one sum that a filter needs three times.

The output of a filter, the gradient of its input and that of its taps are sum_j a_j * b_{j + r} of different a and b. What
the sum runs over is copied to panels first: a vector of neurons at some steps, side by side. `AT_ONCE` sums run at a time,
so that each vector that is loaded serves all of them, and a filter of any order runs through the same kernel.
"""

from torch import Tensor

from spikescan.ops._arrays import Columns, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import (
    BYTES,
    add_rows,
    axpy,
    fma,
    full,
    load,
    load_at,
    load_rows,
    prefetch,
    pushed,
    put,
    put_rows,
    row,
    scratch,
    store,
    store_rows,
    whole,
)

__all__ = [
    "AT_ONCE",
    "column_of",
    "correlated",
    "filtered",
    "next_column",
    "onward",
    "read",
    "rows_of",
    "spread_back",
    "sum_of_taps",
    "table_of",
    "tabulated",
    "tapped",
    "total",
    "window_back",
]

AT_ONCE = 4


def rows_of(k: int) -> int:
    """Vectors of a table of a bias and k taps, with room for `AT_ONCE` sums from each."""
    return 1 + -(-k // AT_ONCE) * AT_ONCE


@inline
def table_of(weight_at, bias_at, k, rows, channels, space, columns, scale, like):
    """For each vector of columns the bias and then the taps, times `scale`, side by side; `release` it."""
    weight, bias = row(weight_at, channels * k, like), row(bias_at, channels, like)
    table = scratch(columns * rows, weight)
    _fill(table, weight, bias, k, rows, channels, space, columns, scale)
    return table


@kernel
def _tabulate(weight_at, bias_at, table_at, like, k, rows, channels, space, columns, scale):
    weight, bias = row(weight_at, channels * k, like), row(bias_at, channels, like)
    _fill(row(table_at, columns * rows, like), weight, bias, k, rows, channels, space, columns, scale)


def tabulated(weight: Tensor, bias: Tensor, layout: Columns, scale: float) -> Tensor:
    """The table of `table_of` in a tensor: for a kernel that is run many times with these taps."""
    k = weight.shape[1]
    table = weight.new_empty(layout.columns * rows_of(k))
    _tabulate(
        weight.data_ptr(), bias.data_ptr(), table.data_ptr(), number_like(weight), k, rows_of(k), layout.channels, layout.space,
        layout.columns, scale,
    )  # fmt: skip
    return table


@inline
def _fill(table, weight, bias, k, rows, channels, space, columns, scale):
    step, factor = BYTES // weight.itemsize, weight.dtype.type(scale)
    channel, used = 0, 0
    for column in range(columns):
        at = column // step * rows * step + column % step
        table[at] = bias[channel] * factor
        for each in range(k):
            table[at + (1 + each) * step] = weight[channel * k + each] * factor
        used += 1
        if used == space:
            channel, used = (channel + 1) % channels, 0


@inline
def column_of(n, step, width, columns, rows):
    """Where in the table the columns of the vector at neuron n begin (`_arrays.Columns`)."""
    return n // width * step % columns * rows


@inline
def next_column(base, used, step, width, columns, rows):
    """Those of the next vector without a division, and how many neurons before it share them."""
    used += step
    if used < width:
        return base, used
    base += step * rows
    return base if base < columns * rows else 0, 0


@inline
def tapped(table, base, start, x, window, following, n, neurons, k, group):
    """Start + sum_i tap_i * input of one step, oldest first, and the step's input, which goes to the end of the window."""
    step = BYTES // x.itemsize
    for j in range(k - 1):
        past = load(window, j * neurons + n, group)
        start = fma(load(table, base + (1 + j) * step, whole(x)), past, start)
        if j > 0:
            store(following, (j - 1) * neurons + n, past, group)
    newest = load(x, n, group)
    if k > 1:
        store(following, (k - 2) * neurons + n, newest, group)
    return fma(load(table, base + k * step, whole(x)), newest, start), newest


@kernel
def total(totals_at, weight_at, bias_at, like, tables, k, rows, channels, space, columns, scale):
    """Add what tables like that of `table_of` have summed, times `scale`, to the gradients of the weight and the bias."""
    totals = row(totals_at, tables * columns * rows, like)
    weight, bias = row(weight_at, channels * k, like), row(bias_at, channels, like)
    step, factor = BYTES // weight.itemsize, weight.dtype.type(scale)
    for table in range(tables):
        channel, used = 0, 0
        for column in range(columns):
            at = (table * columns + column // step * step) * rows + column % step
            bias[channel] += totals[at] * factor
            for each in range(k):
                weight[channel * k + each] += totals[at + (1 + each) * step] * factor
            used += 1
            if used == space:
                channel, used = (channel + 1) % channels, 0


@inline
def read(x, window, panel, n, ahead, first, last, k, neurons, group):
    """Copy the inputs that steps `first` to `last` see, and ask for those of the next tile."""
    step = BYTES // x.itemsize
    at = 0
    for time in range(first - (k - 1), first):
        store(panel, at, load_at(x, window, time, neurons, n, group), whole(x))
        at += step
    for time in range(first, last):
        store(panel, at, load(x, time * neurons + n, group), whole(x))
        prefetch(x, ahead, group)
        at += step
        ahead += step


@inline
def correlated(factors, at, stride, values, begin, count, sums):
    """Sums_r + sum_j factors_j * values_{j + r}, in the order of j, for r = 0 to 3; factors lie `stride` apart."""
    step = BYTES // values.itemsize
    seen = sums
    for r in range(AT_ONCE - 1):
        seen = pushed(seen, load(values, begin + r * step, whole(values)))
    for j in range(count):
        seen = pushed(seen, load(values, begin + (j + AT_ONCE - 1) * step, whole(values)))
        sums = axpy(load(factors, at + j * stride, whole(values)), seen, sums)
    return sums


@inline
def filtered(table, base, start, inputs, out, size, k):
    """Start + sum_i tap_i * input of `size` steps, oldest tap first."""
    step = BYTES // inputs.itemsize
    for r in range(0, size, AT_ONCE):
        sums = correlated(table, base + step, step, inputs, r * step, k, (start, start, start, start))
        store_rows(out, r * step, step, sums, whole(inputs))


@inline
def onward(of_filter, carried, slot, size, k, newest, oldest):
    """Put the k - 1 gradients after this tile behind its own, and keep those that the tile before it needs.

    None come after the `newest` tile; and those before the `oldest` one are not asked for.
    """
    step = BYTES // of_filter.itemsize
    for each in range(k - 1):
        after = full(0.0, whole(carried)) if newest else load(carried, slot + each * step, whole(carried))
        store(of_filter, (size + each) * step, after, whole(carried))
    for each in range(0 if oldest else k - 1):
        store(carried, slot + each * step, load(of_filter, each * step, whole(carried)), whole(carried))


@inline
def spread_back(table, base, of_filter, panel, add, out, n, first, last, neurons, k, past_cache, group):
    """Write the gradients of the inputs of steps `first` to `last`: tap i carried each to the step k - 1 - i later.

    Those in the panel are added if `add`.
    """
    step = BYTES // panel.itemsize
    zero = full(0.0, whole(panel))
    for r in range(0, last - first, AT_ONCE):
        sums = (zero, zero, zero, zero)
        if add:
            sums = load_rows(panel, r * step, step, sums, whole(panel))
        sums = correlated(table, base + k * step, -step, of_filter, r * step, k, sums)
        if first + r + AT_ONCE <= last:
            put_rows(out, (first + r) * neurons + n, neurons, sums, past_cache, group)
        else:
            store_rows(panel, r * step, step, sums, whole(panel))
            for time in range(first + r, last):
                put(out, time * neurons + n, load(panel, (time - first) * step, whole(out)), past_cache, group)


@inline
def sum_of_taps(of_filter, inputs, totals, base, size, k):
    """Add to the totals of the taps what `size` steps give."""
    step = BYTES // inputs.itemsize
    zero = full(0.0, whole(inputs))
    for i in range(0, k, AT_ONCE):
        sums = correlated(of_filter, 0, step, inputs, i * step, size, (zero, zero, zero, zero))
        add_rows(totals, base + (1 + i) * step, step, sums, whole(inputs))


@inline
def window_back(table, base, of_filter, panel, carried, slot, grad_window, n, k, neurons, group):
    """Write the gradients of the inputs before the first step, which only later steps have seen."""
    step = BYTES // panel.itemsize
    for each in range(k - 1):
        store(of_filter, each * step, full(0.0, whole(panel)), whole(panel))
        store(of_filter, (k - 1 + each) * step, load(carried, slot + each * step, whole(panel)), whole(panel))
    spread_back(table, base, of_filter, panel, False, grad_window, n, 0, k - 1, neurons, k, False, group)
