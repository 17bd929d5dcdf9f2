"""Membrane potential estimation (arXiv 2409.04978) in numpy, step by step; x and the draws b are ``[T, C]``."""

import numpy as np
from equations import Array, step_function


def mpe_psn(x: Array, b: Array, tau: float, threshold: float) -> tuple[Array, Array, Array]:
    """Spikes, membranes u and estimates v of the membrane after reset.

    u_t takes the estimate of the step before; one of the authors' files takes that of the step itself.
    """
    spikes, membranes, estimates = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    estimate = np.zeros(x.shape[1])
    for t in range(len(x)):
        membranes[t] = tau * estimate + x[t]
        spikes[t] = step_function(membranes[t] - threshold)
        estimate = (1.0 - b[t]) * x[t]
        estimates[t] = estimate
    return spikes, membranes, estimates


def auxiliary_loss(spikes: Array, membranes: Array, estimates: Array, weights: Array) -> float:
    """Mean over elements of c_t (v_t - (1 - S_t) u_t)^2."""
    total = 0.0
    for t in range(len(spikes)):
        total += weights[t] * np.sum((estimates[t] - (1.0 - spikes[t]) * membranes[t]) ** 2)
    return total / spikes.size


def gradients(grad: Array, x: Array, b: Array, tau: float, threshold: float) -> tuple[Array, float]:
    """Of x and the threshold from those of the spikes: triangular surrogate of width 1, nothing through b."""
    _, membranes, _ = mpe_psn(x, b, tau, threshold)
    of_membrane = grad * np.maximum(0.0, 1.0 - np.abs(membranes - threshold))
    of_x = of_membrane.copy()
    of_x[:-1] += tau * (1.0 - b[:-1]) * of_membrane[1:]
    return of_x, -float(of_membrane.sum())
