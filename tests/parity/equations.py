"""The equations of neurons as their papers and code state them, in numpy, one loop each; x is ``[T, C]`` in float64.

Written from the sources that `docs/neurons` names, not from our reference: a neuron is tested against its own name.
"""

import numpy as np

Array = np.ndarray


def sigmoid(a: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-a))


def step_function(h: Array) -> Array:
    """Theta(x) = 1 if x >= 0: a membrane at the threshold fires."""
    return (h >= 0.0).astype(np.float64)


def integer(h: Array, levels: int) -> Array:
    """Clip(round(H), 0, N); numpy rounds half to even."""
    return np.clip(np.round(h), 0, levels)


def dsn(x: Array, weight: Array, bias: Array, tau: float, levels: int) -> tuple[Array, Array, Array]:
    """Spikes, membranes and decays of arXiv 2602.01133, Eqs. 9 to 12."""
    k = weight.shape[1]
    spikes, membranes, decays = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    h = np.zeros(x.shape[1])
    for t in range(len(x)):
        a = bias.copy()
        for i in range(k):
            source = t - (k - 1) + i
            if source >= 0:
                a += weight[:, i] * x[source]
        alpha = sigmoid(a) ** (1.0 / tau)
        h = alpha * h + (1.0 - alpha) * x[t]
        spikes[t], membranes[t], decays[t] = integer(h, levels), h, alpha
    return spikes, membranes, decays


def dsn_gradients(grad: Array, x: Array, weight: Array, bias: Array, tau: float, levels: int) -> dict[str, Array]:
    """The gradients of x, weight and bias from those of the spikes, by hand: a walk back through time."""
    k = weight.shape[1]
    _, h, alpha = dsn(x, weight, bias, tau, levels)
    of_x, of_weight, of_bias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
    d = np.zeros(x.shape[1])
    for t in reversed(range(len(x))):
        d = d + grad[t] * ((h[t] >= 0.0) & (h[t] <= levels))
        before = h[t - 1] if t > 0 else 0.0
        # dalpha/da = alpha (1 - sigmoid(a)) / tau, and sigmoid(a) = alpha^tau
        of_a = d * (before - x[t]) * alpha[t] * (1.0 - alpha[t] ** tau) / tau
        of_x[t] += (1.0 - alpha[t]) * d
        of_bias += of_a
        for i in range(k):
            source = t - (k - 1) + i
            if source >= 0:
                of_weight[:, i] += of_a * x[source]
                of_x[source] += of_a * weight[:, i]
        d = alpha[t] * d
    return {"x": of_x, "weight": of_weight, "bias": of_bias}


def psn(x: Array, weight: Array, threshold: Array) -> Array:
    """H = W X, S = Theta(H - B) (arXiv 2304.12760)."""
    return step_function(weight @ x - threshold[:, None])


def masked_psn(x: Array, weight: Array, threshold: Array, order: int, mask_weight: float) -> Array:
    """PSN with (lambda M_k + (1 - lambda) J) o W; M_k[i][j] = 1 iff j <= i <= j + k - 1."""
    mask = np.zeros_like(weight)
    for i in range(len(weight)):
        for j in range(len(weight)):
            mask[i, j] = 1.0 if j <= i <= j + order - 1 else 0.0
    return psn(x, (mask_weight * mask + (1.0 - mask_weight)) * weight, threshold)


def sliding_psn(x: Array, weight: Array, threshold: float) -> Array:
    """H_t = sum_i w_i X_{t-k+1+i}, X before 0 is 0."""
    h = np.zeros_like(x)
    for t in range(len(x)):
        for i, w in enumerate(weight):
            source = t - len(weight) + 1 + i
            if source >= 0:
                h[t] += w * x[source]
    return step_function(h - threshold)


def spikingjelly(
    x: Array, tau: float, threshold: float, *, decay_input: bool, hard: bool | None, integrate: bool = False
) -> tuple[Array, Array]:
    """Spikes and charged membranes of SpikingJelly's LIFNode (IFNode if `integrate`), V_reset = 0 or None (soft).

    `hard` None is no reset, which SpikingJelly does not have.
    """
    v = np.zeros(x.shape[1])
    spikes, charges = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        if integrate:
            h = v + x[t]
        elif decay_input:
            h = v + (x[t] - v) / tau
        else:
            h = v - v / tau + x[t]
        s = step_function(h - threshold)
        if hard is None:
            v = h
        elif hard:
            v = (1.0 - s) * h
        else:
            v = h - s * threshold
        spikes[t], charges[t] = s, h
    return spikes, charges


def integer_lif(x: Array, beta: float, levels: int) -> tuple[Array, Array]:
    """I-LIF of SpikeYOLO (ECCV 2024): H = beta V + X, C = round(clip(H, 0, D)), V = H - C; spikes and charges."""
    v = np.zeros(x.shape[1])
    counts, charges = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        h = beta * v + x[t]
        counts[t] = np.round(np.clip(h, 0, levels))
        v = h - counts[t]
        charges[t] = h
    return counts, charges


def snntorch_leaky(x: Array, beta: float, threshold: float) -> tuple[Array, Array]:
    """Spikes and membranes of snnTorch's Leaky: strict threshold, and a reset that is taken off one step later, undecayed."""
    u, s = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    spikes, membranes = np.zeros_like(x), np.zeros_like(x)
    for t in range(len(x)):
        u = beta * u + x[t] - s * threshold
        s = (u > threshold).astype(np.float64)
        spikes[t], membranes[t] = s, u
    return spikes, membranes
