"""E-prop for layers of LIF neurons, in numpy, one step after the other: what HYPR computes in chunks.

Bellec et al., Nature Communications 2020: an eligibility trace for each synapse, times a learning signal that arrives in the
same step; what reaches a spike through recurrent weights in time is left out. Below the top layer the learning signal comes
through the current step alone (arXiv 2506.14464).
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Layer(NamedTuple):
    """W ``[C, J]``, V ``[C, C]`` or None, b ``[C]``; H = (1 - 1/tau) V + I/tau, soft reset by 1 at H >= 1."""

    weight: Array
    lateral: Array | None
    bias: Array
    tau: float


def surrogate(h: Array) -> Array:
    """The derivative of ATan(2) at threshold 1."""
    return 1.0 / (1.0 + (np.pi * (h - 1.0)) ** 2)


def run(x: Array, layers: list[Layer], grad: Array | None = None) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """Spikes ``[T, C]`` of the top layer for x ``[T, J]``, and the gradients of W, V, b of each layer.

    `grad` ``[T, C]`` is the derivative of the loss by the top spikes; the reset passes no gradient.
    """
    sizes = [len(layer.bias) for layer in layers]
    v, s = [np.zeros(n) for n in sizes], [np.zeros(n) for n in sizes]
    traces = [[np.zeros((n, k)) for k in (layer.weight.shape[1], n, 1)] for n, layer in zip(sizes, layers, strict=True)]
    found = [[np.zeros_like(trace) for trace in of_layer] for of_layer in traces]
    out = np.zeros((len(x), sizes[-1]))
    for t in range(len(x)):
        below, slopes = x[t], []
        for i, layer in enumerate(layers):
            gain = 1.0 / layer.tau
            current = layer.weight @ below + layer.bias
            if layer.lateral is not None:
                current = current + layer.lateral @ s[i]
            h = (1.0 - gain) * v[i] + gain * current
            # The derivative of H by each weight; that of V is the same, since the reset passes none.
            for trace, presynaptic in zip(traces[i], (below, s[i], np.ones(1)), strict=True):
                trace *= 1.0 - gain
                trace += gain * presynaptic[None, :]
            s[i] = (h >= 1.0).astype(np.float64)
            v[i] = h - s[i]
            slopes.append(surrogate(h))
            below = s[i]
        out[t] = below
        if grad is None:
            continue
        signal = grad[t]
        for i in reversed(range(len(layers))):
            of_h = signal * slopes[i]
            for total, trace in zip(found[i], traces[i], strict=True):
                total += of_h[:, None] * trace
            signal = (of_h / layers[i].tau) @ layers[i].weight
    return out, [(weight, lateral, bias[:, 0]) for weight, lateral, bias in found]
