"""The leaky neuron with a reset, step by step and in its parallel forms, in numpy float64; the drive c is ``[T, C]``.

Written from PRF (arXiv 2410.03530) and FPT (arXiv 2506.12087): decay b, threshold V, at rest before the first step.
"""

import numpy as np

Array = np.ndarray


def soft_reset(c: Array, b: float, threshold: float, levels: int | None = None) -> tuple[Array, Array]:
    """u_t = b (u_{t-1} - V s_{t-1}) + c_t; spikes where u_t >= V, or clip(round(u_t), 0, levels). Spikes and u."""
    u, s = np.zeros(c.shape[1]), np.zeros(c.shape[1])
    spikes, membranes = np.zeros_like(c), np.zeros_like(c)
    for t in range(len(c)):
        u = b * (u - threshold * s) + c[t]
        s = (u >= threshold).astype(float) if levels is None else np.clip(np.round(u), 0, levels)
        spikes[t], membranes[t] = s, u
    return spikes, membranes


def hard_reset(c: Array, b: float, threshold: float) -> tuple[Array, Array]:
    """u_t = b u_{t-1} (1 - s_{t-1}) + c_t. Spikes and u."""
    u, s = np.zeros(c.shape[1]), np.zeros(c.shape[1])
    spikes, membranes = np.zeros_like(c), np.zeros_like(c)
    for t in range(len(c)):
        u = b * u * (1.0 - s) + c[t]
        s = (u >= threshold).astype(float)
        spikes[t], membranes[t] = s, u
    return spikes, membranes


def without_reset(c: Array, b: float) -> Array:
    """The potential sum_i b^(t - i) c_i."""
    return decays(len(c), b) @ c


def decays(steps: int, b: float) -> Array:
    """Lambda[t, i] = b^(t - i) for t >= i."""
    t = np.arange(steps)
    return np.tril(float(b) ** np.maximum(t[:, None] - t, 0))


def algorithm_2(c: Array, b: float, threshold: float) -> Array:
    """PRF, appendix: A_t = b (A_{t-1} + s_{t-1}), d_t = V (1 + A_t), A_1 = 0; spikes where the potential reaches d."""
    potential, spikes = without_reset(c, b), np.zeros_like(c)
    a = np.zeros(c.shape[1])
    for t in range(len(c)):
        if t > 0:
            a = b * (a + spikes[t - 1])
        spikes[t] = potential[t] >= threshold * (1.0 + a)
    return spikes


def equations_7_to_11(c: Array, b: float, threshold: float) -> Array:
    """PRF, main text: A_t = A_{t-1} + s_{t-1}, d_t = V (b A_t + 1)."""
    potential, spikes = without_reset(c, b), np.zeros_like(c)
    a = np.zeros(c.shape[1])
    for t in range(len(c)):
        if t > 0:
            a = a + spikes[t - 1]
        spikes[t] = potential[t] >= threshold * (b * a + 1.0)
    return spikes


def fixed_point(c: Array, b: float, threshold: float, iterations: int) -> Array:
    """FPT with the step for its sigmoid: s <- Theta(Lambda c - V (Lambda - I) s - V), from Theta(Lambda c - V)."""
    potential, of_spikes = without_reset(c, b), decays(len(c), b) - np.eye(len(c))
    s = (potential >= threshold).astype(float)
    for _ in range(iterations):
        s = (potential - threshold * of_spikes @ s >= threshold).astype(float)
    return s


def gradient(grad: Array, c: Array, b: float, threshold: float, alpha: float, *, hard: bool, detached: bool) -> Array:
    """Of the drive, from that of the spikes, by hand: back through time, with an arc tangent's slope for the step's."""
    spikes, u = (hard_reset if hard else soft_reset)(c, b, threshold)
    slope = alpha / 2.0 / (1.0 + (np.pi / 2.0 * alpha * (u - threshold)) ** 2)
    of_c = np.zeros_like(c)
    later = np.zeros(c.shape[1])  # of u_{t+1}
    for t in reversed(range(len(c))):
        through_reset = (1.0 - spikes[t]) if hard else 1.0
        if not detached:
            through_reset = through_reset - slope[t] * (u[t] if hard else threshold)
        later = grad[t] * slope[t] + b * later * through_reset
        of_c[t] = later
    return of_c
