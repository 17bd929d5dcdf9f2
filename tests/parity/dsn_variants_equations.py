"""The gates of the DSN's ablation (arXiv 2602.01133), in numpy, one loop each; x is ``[T, C]`` in float64.

The paper names the rows and leaves their shapes open: fully connected and low-rank mix the channels of one step, inter-channel
those of the last k steps, and no convolution leaves the bias alone.
"""

import numpy as np

Array = np.ndarray


def gate(x: Array, bias: Array, taps: list[Array]) -> Array:
    """a_t = b + sum_i W_i x_{t-k+1+i}, x before 0 is 0; W_i ``[C, C]``, none for a static gate."""
    a = np.zeros_like(x)
    for t in range(len(x)):
        a[t] = bias
        for i, tap in enumerate(taps):
            source = t - len(taps) + 1 + i
            if source >= 0:
                for to in range(x.shape[1]):
                    a[t, to] += sum(tap[to, of] * x[source, of] for of in range(x.shape[1]))
    return a


def dynamics(x: Array, a: Array, tau: float, levels: int) -> tuple[Array, Array, Array]:
    """Spikes, membranes and decays of Eqs. 9, 10 and 12 for given gates."""
    alpha = (1.0 / (1.0 + np.exp(-a))) ** (1.0 / tau)
    h, membranes = np.zeros(x.shape[1]), np.zeros_like(x)
    for t in range(len(x)):
        h = alpha[t] * h + (1.0 - alpha[t]) * x[t]
        membranes[t] = h
    return np.clip(np.round(membranes), 0, levels), membranes, alpha


def gradients(grad: Array, x: Array, bias: Array, taps: list[Array], tau: float, levels: int) -> dict[str, Array]:
    """Of x, the bias and each tap, from those of the spikes: a walk back through time."""
    a = gate(x, bias, taps)
    _, h, alpha = dynamics(x, a, tau, levels)
    of_x, of_bias, of_taps = np.zeros_like(x), np.zeros_like(bias), [np.zeros_like(tap) for tap in taps]
    d = np.zeros(x.shape[1])
    for t in reversed(range(len(x))):
        d = d + grad[t] * ((h[t] >= 0.0) & (h[t] <= levels))
        before = h[t - 1] if t > 0 else 0.0
        of_a = d * (before - x[t]) * alpha[t] * (1.0 - alpha[t] ** tau) / tau
        of_x[t] += (1.0 - alpha[t]) * d
        of_bias += of_a
        for i, tap in enumerate(taps):
            source = t - len(taps) + 1 + i
            if source >= 0:
                of_taps[i] += np.outer(of_a, x[source])
                of_x[source] += of_a @ tap
        d = alpha[t] * d
    return {"x": of_x, "bias": of_bias, "taps": np.array(of_taps)}
