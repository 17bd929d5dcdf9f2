"""Equations of neurons with linear dynamics of two and more states, as their papers state them; x is ``[T, C]`` in float64."""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def prf(x: Array, delta: Array, theta: Array, tau: float, threshold: float = 1.0) -> tuple[Array, Array]:
    """Spikes and real parts of arXiv 2410.03530: u = exp(delta (-1/tau + i theta)) u + delta x."""
    u = np.zeros(x.shape[1], np.complex128)
    membranes = np.zeros_like(x)
    for t in range(len(x)):
        u = np.exp(delta * (-1.0 / tau + 1j * theta)) * u + delta * x[t]
        membranes[t] = u.real
    return (membranes >= threshold).astype(np.float64), membranes


def s5_rf(x: Array, a: Array, omega: Array, eta: Array, held: bool) -> tuple[Array, Array]:
    """Spikes and real parts of arXiv 2504.00719; `held` is zero-order hold, else each input is a pulse."""
    eigenvalue = -np.exp(a) + 1j * omega
    state = np.zeros(x.shape[1], np.complex128)
    membranes = np.zeros_like(x)
    for t in range(len(x)):
        gain = (np.exp(eigenvalue * eta) - 1.0) / eigenvalue if held else 1.0
        state = np.exp(eigenvalue * eta) * state + gain * x[t]
        membranes[t] = state.real
    return (membranes >= 1.0).astype(np.float64), membranes


def legs_eigenvalues(order: int) -> Array:
    """Of HiPPO-LegS plus the rank-one term that makes it normal."""
    legs = np.zeros((order, order))
    for n in range(order):
        for k in range(order):
            if n > k:
                legs[n, k] = -np.sqrt((2 * n + 1) * (2 * k + 1))
            elif n == k:
                legs[n, k] = -(n + 1)
    p = np.sqrt(np.arange(order) + 0.5)
    return np.linalg.eigvals(legs + np.outer(p, p))


NORMALISATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda v: v,
    "sigmoid": lambda v: 1.0 / (1.0 + np.exp(-v)),
    "tanh": np.tanh,
    "tanh_relu": lambda v: np.maximum(np.tanh(v), 0.0),
}


def para_lif(
    x: Array, a: float, b: float, mode: str, normalisation: str | None, threshold: float
) -> tuple[Array, Array]:
    """Spikes, and what they are made of, of ParaLIF; T and D, after a normalisation, by convolution with both kernels."""
    steps = np.arange(len(x))
    potential = np.zeros_like(x)
    for c in range(x.shape[1]):
        current = np.convolve(x[:, c], a**steps)[: len(x)]
        potential[:, c] = np.convolve(current, (1.0 - b) * b**steps)[: len(x)]
    f = NORMALISATIONS[normalisation]
    h = f(potential)
    if mode == "delta":
        h = h - f(np.concatenate([np.zeros_like(x[:1]), potential[:-1]]))
    return (h >= threshold).astype(np.float64), h


def pmsn_current(x: Array, a: Array, b: Array, c: Array, d: Array, dt: Array, scale: float) -> Array:
    """What flows into the output compartment of arXiv 2408.14917, by convolution; a, b, c are complex ``[C, n]``."""
    decay = np.exp(a * dt[:, None])
    kernel = np.stack([(c * decay**t * (decay - 1.0) / a * b).sum(1).real for t in range(len(x))])
    y = np.stack([np.convolve(x[:, i], kernel[:, i])[: len(x)] for i in range(x.shape[1])], axis=1) + d * x
    return np.maximum(scale * y, 0.0)


def pmsn_spikes(current: Array, threshold: float) -> Array:
    """The parallel reset: from the running sum of the current, less the whole thresholds in the sum before."""
    total = np.cumsum(current, axis=0, dtype=current.dtype)
    before = np.concatenate([np.zeros_like(total[:1]), total[:-1]])
    charge = total - np.floor(before / threshold) * threshold
    return np.clip(np.floor(charge / threshold), 0.0, 1.0)


def integrate_and_fire(current: Array, threshold: float) -> Array:
    """A charge that loses its whole thresholds when it fires, step by step."""
    charge = np.zeros(current.shape[1])
    spikes = np.zeros_like(current)
    for t in range(len(current)):
        charge = charge + current[t]
        spikes[t] = charge >= threshold
        charge = np.where(charge >= threshold, charge - np.floor(charge / threshold) * threshold, charge)
    return spikes
