"""The multiplication-free channel-wise PSN of arXiv 2501.14490 in numpy, one loop each; x is ``[T, B, C]`` in float64."""

import numpy as np

Array = np.ndarray


def quantise(w: Array) -> Array:
    """Q(w) = sign(w) 2^round(log2 |w|), and 0 for 0."""
    q = np.zeros_like(w)
    for index, value in np.ndenumerate(w):
        if value != 0.0:
            q[index] = np.sign(value) * 2.0 ** np.round(np.log2(abs(value)))
    return q


def charge(x: Array, weight: Array, dilation: int) -> Array:
    """H[t][c] = sum_i W[c][i] X[t - (k - 1 - i) d][c], zeros before the first step."""
    k = weight.shape[1]
    h = np.zeros_like(x)
    for t in range(len(x)):
        for i in range(k):
            source = t - (k - 1 - i) * dilation
            if source >= 0:
                h[t] += weight[:, i] * x[source]
    return h


def spikes(
    x: Array,
    weight: Array,
    dilation: int,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
) -> tuple[Array, Array]:
    """Spikes and the charge less its threshold: batch norm fused into the filter, whose weight is then quantised."""
    gain = gamma / np.sqrt(variance + epsilon)
    h = charge(x, quantise(gain[:, None] * weight), dilation)
    threshold = gain * mean - beta
    return (h >= threshold).astype(np.float64), h - threshold


def statistics(x: Array, weight: Array, dilation: int, lengths: list[int]) -> tuple[Array, Array, int]:
    """Mean and (biased) variance of the unquantised charge over the valid steps, and their number."""
    h = charge(x, weight, dilation)
    valid = np.concatenate([h[:length, sample] for sample, length in enumerate(lengths)])
    return valid.mean(0), valid.var(0), len(valid)
