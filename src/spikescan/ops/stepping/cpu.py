"""What lies between neurons in one time step: kernels for a `Program`, without gradients.

Sums are taken in order, the same one for each row: a stream has the same bits beside others as alone.
"""

import numpy as np
from torch import Tensor

from spikescan.ops._arrays import number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, fma, full, load, part, row, store, whole
from spikescan.ops.layer_norm.cpu import normalised
from spikescan.ops.sigmoid.cpu import logistic
from spikescan.ops.stepping.link import Call

__all__ = [
    "add_call",
    "gated_call",
    "layer_norm_call",
    "linear_call",
    "max_call",
    "multiply_call",
    "rate_call",
    "scale_call",
    "window_call",
]


@inline
def _outputs(x, active, weight, bias, y, first, at, outputs, out, biased, group):
    """A vector of outputs: the inputs that are not zero, in order."""
    total = full(0.0, group)
    for i in active:
        total = fma(load(weight, i * outputs + out, group), full(x[first + i], group), total)
    store(y, at + out, total + load(bias, out, group) if biased else total, group)


@kernel
def _linear(x_at, weight_at, bias_at, y_at, like, rows, inputs, outputs, biased):
    x, weight = row(x_at, rows * inputs, like), row(weight_at, outputs * inputs, like)
    bias, y = row(bias_at, outputs if biased else 0, like), row(y_at, rows * outputs, like)
    step = BYTES // x.itemsize
    indices = np.empty(inputs, np.int64)
    for each in range(rows):
        first, at = each * inputs, each * outputs
        count = 0
        for i in range(inputs):
            indices[count] = i
            count += x[first + i] != 0.0
        active = indices[:count]
        for out in range(0, outputs, step):
            if outputs - out >= step:
                _outputs(x, active, weight, bias, y, first, at, outputs, out, biased, whole(x))
            else:
                _outputs(x, active, weight, bias, y, first, at, outputs, out, biased, part(x, outputs - out))


def linear_call(x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> Call:
    """``y = x weight + bias``: x ``[B, I]``, weight ``[I, O]``, bias ``[O]``, y ``[B, O]``.

    Sums in the order of the inputs, each product rounded with its sum, and the bias last: the bits of `ops.linear`. Where
    nothing spikes nothing is added, an infinite weight neither, with which torch multiplies 0.
    """
    inputs, outputs = weight.shape
    addresses = (x.data_ptr(), weight.data_ptr(), 0 if bias is None else bias.data_ptr(), y.data_ptr())
    return _linear, (*addresses, number_like(x), len(x), inputs, outputs, bias is not None)


@inline
def _scaled(x, gain, offset, y, n, group):
    store(y, n, fma(load(x, n, group), load(gain, n, group), load(offset, n, group)), group)


@kernel
def _scale(x_at, gain_at, offset_at, y_at, like, size):
    x, y = row(x_at, size, like), row(y_at, size, like)
    gain, offset = row(gain_at, size, like), row(offset_at, size, like)
    step = BYTES // x.itemsize
    for n in range(0, size, step):
        if size - n >= step:
            _scaled(x, gain, offset, y, n, whole(x))
        else:
            _scaled(x, gain, offset, y, n, part(x, size - n))


def scale_call(x: Tensor, gain: Tensor, offset: Tensor, y: Tensor) -> Call:
    """``y = gain x + offset``, rounded once, all of one shape."""
    addresses = (x.data_ptr(), gain.data_ptr(), offset.data_ptr(), y.data_ptr())
    return _scale, (*addresses, number_like(x), x.numel())


@kernel
def _layer_norm(x_at, gain_at, offset_at, y_at, like, rows, size, epsilon, centred):
    x, y = row(x_at, rows * size, like), row(y_at, rows * size, like)
    gain, offset = row(gain_at, size, like), row(offset_at, size, like)
    for each in range(rows):
        normalised(x, gain, offset, y, each, size, epsilon, centred)


def layer_norm_call(x: Tensor, gain: Tensor, offset: Tensor, y: Tensor, epsilon: float, centred: bool) -> Call:
    """Each row of x ``[B, C]`` as `ops.layer_norm`, gain and offset ``[C]``; RMS norm where not `centred`."""
    addresses = (x.data_ptr(), gain.data_ptr(), offset.data_ptr(), y.data_ptr())
    return _layer_norm, (*addresses, number_like(x), *x.shape, epsilon, centred)


@kernel
def _add(a_at, b_at, y_at, like, size):
    a, b, y = row(a_at, size, like), row(b_at, size, like), row(y_at, size, like)
    for i in range(size):
        y[i] = a[i] + b[i]


def add_call(a: Tensor, b: Tensor, y: Tensor) -> Call:
    """``y = a + b``, of one shape; y may be one of them."""
    return _add, (a.data_ptr(), b.data_ptr(), y.data_ptr(), number_like(a), a.numel())


@kernel
def _multiply(a_at, b_at, y_at, like, size):
    a, b, y = row(a_at, size, like), row(b_at, size, like), row(y_at, size, like)
    for i in range(size):
        y[i] = a[i] * b[i]


def multiply_call(a: Tensor, b: Tensor, y: Tensor) -> Call:
    """``y = a * b``, of one shape; y may be one of them."""
    return _multiply, (a.data_ptr(), b.data_ptr(), y.data_ptr(), number_like(a), a.numel())


@inline
def _gate(x, y, first, gate, out, group):
    store(y, out, load(x, first, group) * logistic(load(x, gate, group)), group)


@kernel
def _gated(x_at, y_at, like, rows, size):
    x, y = row(x_at, 2 * rows * size, like), row(y_at, rows * size, like)
    step = BYTES // x.itemsize
    for each in range(rows):
        for i in range(0, size, step):
            first, out = 2 * each * size + i, each * size + i
            if size - i >= step:
                _gate(x, y, first, first + size, out, whole(x))
            else:
                _gate(x, y, first, first + size, out, part(x, size - i))


def gated_call(x: Tensor, y: Tensor) -> Call:
    """The first half of each row of x ``[B, 2 C]`` times the sigmoid of the second, to y ``[B, C]``."""
    return _gated, (x.data_ptr(), y.data_ptr(), number_like(x), *y.shape)


@kernel
def _max(x_at, maximum_at, like, size):
    x, maximum = row(x_at, size, like), row(maximum_at, size, like)
    for i in range(size):  # what is no number stays, and is taken
        maximum[i] = maximum[i] if maximum[i] >= x[i] or maximum[i] != maximum[i] else x[i]


def max_call(x: Tensor, maximum: Tensor) -> Call:
    """Raise `maximum` to x where that is more."""
    return _max, (x.data_ptr(), maximum.data_ptr(), number_like(x), x.numel())


@kernel
def _rate(x_at, total_at, steps_at, y_at, like, rows, size):
    x, total, y = row(x_at, rows * size, like), row(total_at, rows * size, like), row(y_at, rows * size, like)
    steps = row(steps_at, rows, np.int64(0))
    for each in range(rows):
        steps[each] += 1
        count = like + steps[each]
        for place in range(each * size, (each + 1) * size):
            total[place] += x[place]
            y[place] = total[place] / count


def rate_call(x: Tensor, total: Tensor, steps: Tensor, y: Tensor) -> Call:
    """Add x to `total` and 1 to `steps`; y = total / steps: x, total and y ``[B, C, *]``, steps int64 ``[B]``."""
    addresses = (x.data_ptr(), total.data_ptr(), steps.data_ptr(), y.data_ptr())
    return _rate, (*addresses, number_like(x), len(x), x[0].numel())


@kernel
def _window(x_at, past_at, y_at, like, rows, size, seen):
    x, y = row(x_at, rows * size, like), row(y_at, rows * size * seen, like)
    kept = (seen - 1) * size
    past = row(past_at, rows * kept, like)
    for each in range(rows):
        out, before = y[each * seen * size :], past[each * kept :]
        for i in range(kept):
            out[i] = before[i]
        for i in range(size):
            out[kept + i] = x[each * size + i]
        for i in range(kept):
            before[i] = out[size + i]


def window_call(x: Tensor, past: Tensor, y: Tensor) -> Call:
    """``y = (past, x)`` in the channels; past moves on by x: x ``[B, C, *]``, past ``[B, W - 1, C, *]``, y ``[B, W C, *]``."""
    return _window, (
        x.data_ptr(),
        past.data_ptr(),
        y.data_ptr(),
        number_like(x),
        len(x),
        x[0].numel(),
        past.shape[1] + 1,
    )
