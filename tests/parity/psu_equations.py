"""The parallel spiking units of arXiv 2402.00449, with the matrices over time that their formulas name; x is ``[T, C]``."""

import numpy as np
from equations import Array, sigmoid, step_function


def integration_matrix(steps: int, tau: float, *, scale_input: bool) -> Array:
    """A1: what is left at step t of the input of step i."""
    a = np.zeros((steps, steps))
    for t in range(steps):
        for i in range(t + 1):
            a[t, i] = (1.0 / tau if scale_input else 1.0) * (1.0 - 1.0 / tau) ** (t - i)
    return a


def reset_matrix(steps: int, tau: float, threshold: float) -> Array:
    """A2: what is left at step t of the threshold that a spike at step i < t took off."""
    a = np.zeros((steps, steps))
    for t in range(steps):
        for i in range(t):
            a[t, i] = -threshold * (1.0 - 1.0 / tau) ** (t - i)
    return a


def psu(x: Array, tau: float, threshold: float, *, scale_input: bool) -> tuple[Array, Array]:
    """D = A1 X, H = D + A2 sigma(D); spikes and membranes."""
    d = integration_matrix(len(x), tau, scale_input=scale_input) @ x
    h = d + reset_matrix(len(x), tau, threshold) @ sigmoid(d)
    return step_function(h - threshold), h


def ipsu(x: Array, weight: Array, bias: Array, tau: float, threshold: float) -> tuple[Array, Array]:
    """H = tril(W) X + b + A2 X; spikes and membranes."""
    h = np.tril(weight) @ x + bias[:, None] + reset_matrix(len(x), tau, threshold) @ x
    return step_function(h - threshold), h


def rpsu(
    x: Array, weight: Array, bias: Array, tau: float, threshold: float, *, scale_input: bool
) -> tuple[Array, Array]:
    """H = A1 X + A2 sigma(tril(W) X + b); spikes and membranes."""
    estimate = sigmoid(np.tril(weight) @ x + bias[:, None])
    a1, a2 = integration_matrix(len(x), tau, scale_input=scale_input), reset_matrix(len(x), tau, threshold)
    h = a1 @ x + a2 @ estimate
    return step_function(h - threshold), h


def picard_step(x: Array, spikes: Array, tau: float, threshold: float) -> Array:
    """The spikes of the soft reset LIF whose resets are those of `spikes` (arXiv 2506.12087).

    u = Lambda x / tau - theta (Lambda - I) s.
    """
    lam = np.tril((1.0 - 1.0 / tau) ** np.maximum(np.arange(len(x))[:, None] - np.arange(len(x)), 0))
    return step_function(lam @ x / tau - threshold * (lam - np.eye(len(x))) @ spikes - threshold)
