"""A matrix over time, vector by vector of neurons; each sum runs over time in order, so its bits depend on nothing else."""

from torch import Tensor

from spikescan.ops._arrays import empty, in_compute_dtype, number_like
from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, fma, full, load, part, row, static, store, whole
from spikescan.ops._threads import parts, spread
from spikescan.ops.fire.cpu import spikes as fire

# Rows of the matrix that share the reading of an input: their sums stay in registers.
ROWS = 4


@inline
def _mix(x, weight, bias, out, membranes, n, neurons, rows_in, rows_out, kind, level, keep, group):
    t = 0
    while t < rows_out:
        # Past the last row the sums repeat it, and are not stored.
        t1, t2, t3 = min(t + 1, rows_out - 1), min(t + 2, rows_out - 1), min(t + 3, rows_out - 1)
        h0, h1 = full(bias[t], group), full(bias[t1], group)
        h2, h3 = full(bias[t2], group), full(bias[t3], group)
        for i in range(rows_in):
            inputs = load(x, i * neurons + n, group)
            h0 = fma(full(weight[t * rows_in + i], h0), inputs, h0)
            h1 = fma(full(weight[t1 * rows_in + i], h0), inputs, h1)
            h2 = fma(full(weight[t2 * rows_in + i], h0), inputs, h2)
            h3 = fma(full(weight[t3 * rows_in + i], h0), inputs, h3)
        for index, h in ((t, h0), (t1, h1), (t2, h2), (t3, h3)):
            store(out, index * neurons + n, fire(h, kind, level), group)
            if keep:
                store(membranes, index * neurons + n, h, group)
        t += ROWS


@kernel
def _forward(
    x_at, weight_at, bias_at, out_at, membranes_at, like, low, high, neurons, rows_in, rows_out, kind, level, keep
):  # fmt: skip
    x, weight, bias = (
        row(x_at, rows_in * neurons, like),
        row(weight_at, rows_out * rows_in, like),
        row(bias_at, rows_out, like),
    )
    out, membranes = row(out_at, rows_out * neurons, like), row(membranes_at, rows_out * neurons if keep else 0, like)
    step = BYTES // x.itemsize
    for n in range(low, high, step):
        if high - n >= step:
            _mix(x, weight, bias, out, membranes, n, neurons, rows_in, rows_out, kind, level, keep, whole(x))
        else:
            group = part(x, high - n)
            _mix(x, weight, bias, out, membranes, n, neurons, rows_in, rows_out, kind, level, keep, group)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, kind: int, numbers: list[float], keep: bool
) -> tuple[Tensor, Tensor]:
    """The output ``[T_out, N]`` and, if `keep`, what was fired."""
    (rows_out, rows_in), neurons = weight.shape, x.shape[1]
    inputs = in_compute_dtype(x)
    out = empty((rows_out, neurons), x)
    membranes = empty((rows_out, neurons) if keep else (0,), x)
    addresses = tuple(tensor.data_ptr() for tensor in (inputs, weight, bias, out, membranes))

    def run(_: int, low: int, high: int) -> None:
        _forward(*addresses, number_like(out), low, high, neurons, rows_in, rows_out, static(kind), numbers[0], keep)

    grain = BYTES // out.itemsize
    spread(run, neurons, grain, parts(neurons, rows_out * rows_in, grain))
    return out.to(x.dtype), membranes
