"""The serial relatives of the LIF as their papers and code state them, in numpy; x is ``[T, C]`` in float64."""

import numpy as np

Array = np.ndarray


def sigmoid(a: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-a))


def klif(x: Array, tau: float, k: float, *, hard: bool, scale_reset: bool) -> tuple[Array, Array]:
    """SpikingJelly's KLIFNode with decay_input, V_reset 0 or None: spikes, and relu(k H)."""
    v = np.zeros(x.shape[1])
    spikes, charges = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        h = v + (x[t] - v) / tau
        f = np.maximum(k * h, 0.0)
        s = (f >= 1.0).astype(float)
        v = (1.0 - s) * f if hard else f - s
        if scale_reset:
            v = v / k
        spikes[t], charges[t] = s, f
    return spikes, charges


def clif(x: Array, tau: float) -> tuple[Array, Array]:
    """Complementary LIF (ICML 2024): spikes and charged membranes."""
    gamma = 1.0 - 1.0 / tau
    u, m = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    spikes, charges = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        u = gamma * u + x[t]
        s = (u >= 1.0).astype(float)
        spikes[t], charges[t] = s, u
        m = m * sigmoid((1.0 - gamma) * u) + s
        u = u - s * (1.0 + sigmoid(m))
    return spikes, charges


def alif(x: Array, tau: float, tau_adaptation: float, beta: float) -> tuple[Array, Array]:
    """LIF whose threshold each spike raises: spikes, and membrane less what the threshold was raised by."""
    v, a = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    spikes, margins = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        threshold = 1.0 + beta * a
        h = v + (x[t] - v) / tau
        s = (h >= threshold).astype(float)
        v = h - threshold * s
        a = np.exp(-1.0 / tau_adaptation) * a + s
        spikes[t], margins[t] = s, h - beta * (threshold - 1.0) / beta
    return spikes, margins


def glif(
    x: Array, gates: Array, decay: Array, threshold: Array, reset: Array, linear: Array, conductance: Array
) -> tuple[Array, Array]:
    """Gated LIF (NeurIPS 2022), all constants given as they act: spikes, and the membrane as if its threshold were 0.5."""
    alpha, beta, gamma = gates
    u, s = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    spikes, margins = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        current = x[t] * (1.0 - beta * (1.0 - conductance[t]))
        u = (
            (1.0 - alpha * (1.0 - decay)) * u * (1.0 - gamma * s)
            - (1.0 - alpha) * linear
            + current
            - (1.0 - gamma) * reset * s
        )
        s = (u >= threshold).astype(float)
        spikes[t], margins[t] = s, u - threshold + 0.5
    return spikes, margins
