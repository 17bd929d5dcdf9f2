"""The Dynamic Decay Spiking Neuron (arXiv 2602.01133)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Firing, Integer
from spikescan.neurons.base import Cost, Neuron, at_rest, check_channels, no_weight_decay
from spikescan.ops._checks import in_compute_dtype

__all__ = ["DSN", "DSNState", "initial_bias"]


class DSNState(NamedTuple):
    """What a DSN carries: the membrane ``[B, C, *]`` and the last k - 1 inputs ``[B, k - 1, C, *]``, newest last."""

    membrane: Tensor
    window: Tensor


class DSN(Neuron):
    r"""A neuron without reset whose decay is computed from its input.

    .. math::
        a_t &= b + \sum_{i=0}^{k-1} w_i \, x_{t-k+1+i} \\
        \alpha_t &= \sigma(a_t)^{1/\tau} \\
        H_t &= \alpha_t H_{t-1} + (1 - \alpha_t) x_t \\
        S_t &= \text{fire}(H_t)

    A decay near 0 replaces the membrane by the input, as a hard reset would; near 1 it keeps the past. Source: arXiv
    2602.01133, Eqs. 9 to 12, with its k = 4, tau = 0.25 and four integer levels. The paper does not state the initial
    values: the weights start uniform within +-1/sqrt(k) (torch's depthwise convolution), and the bias so that the decay
    starts at `initial_decay`.

    Args:
        channels: C.
        kernel_size: k, inputs that the gate sees. The paper has 4; on long sequences 32 learnt far more here (docs/neurons.md).
            Each costs a multiplication and an addition a step, and 4 bytes of state.
        tau: steepness of the gate, > 0.
        initial_decay: the decay at zero input, in (0, 1); a pair ``(low, high)`` spreads the time constants
            -1 / log(decay) log-uniformly over the channels, e.g. ``(0.6, 0.995)`` for 2 to 200 steps.
        firing: `Binary` or `Integer`.
        recompute: keep only the input for the backward pass, and compute the membrane again there.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 4,
        tau: float = 0.25,
        initial_decay: float | Sequence[float] = 0.5,
        firing: Firing | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if channels < 1 or kernel_size < 1:
            raise InputError(f"DSN: channels is {channels} and kernel_size {kernel_size}, expected both at least 1.")
        if not tau > 0:
            raise InputError(f"DSN: tau is {tau}, expected a number above 0.")
        self.channels = channels
        self.kernel_size = kernel_size
        self.tau = float(tau)
        self.firing = Integer() if firing is None else firing
        self.recompute = recompute
        bound = 1.0 / math.sqrt(kernel_size)
        self.weight = no_weight_decay(nn.Parameter(torch.empty(channels, kernel_size).uniform_(-bound, bound)))
        self.bias = no_weight_decay(nn.Parameter(initial_bias("DSN", initial_decay, self.tau, channels)))

    def initial_state(self, x_t: Tensor) -> DSNState:
        """At rest: zero membrane, no inputs seen."""
        return DSNState(at_rest(x_t), at_rest(x_t, self.kernel_size - 1))

    def forward(
        self, x: Tensor, state: DSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, DSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_channels(self, x, 2, self.channels)
        membrane, window = self.unpack(state, DSNState)
        spikes, membrane, window = ops.dynamic_decay(
            x,
            self.weight,
            self.bias,
            tau=self.tau,
            firing=self.firing.spec,
            membrane=membrane,
            window=window,
            lengths=lengths,
            recompute=self.recompute,
        )
        return spikes, DSNState(membrane, window)

    def step(self, x_t: Tensor, state: DSNState | None = None) -> tuple[Tensor, DSNState]:
        """Run one time step; see `Temporal.step`."""
        check_channels(self, x_t, 1, self.channels)
        membrane, window = self.unpack(self.initial_state(x_t) if state is None else state, DSNState)
        spikes, membrane, window = ops.dynamic_decay_step(
            x_t, self.weight, self.bias, tau=self.tau, firing=self.firing.spec, membrane=membrane, window=window
        )
        return spikes, DSNState(membrane, window)

    @torch.no_grad()
    def trace(self, x: Tensor, state: DSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; with "decay"."""
        membrane, window = self.unpack(state, DSNState)
        x = in_compute_dtype(x)
        gate, _ = ops.causal_conv(x, self.weight, self.bias, window=window)
        log_decay = nn.functional.logsigmoid(gate) / self.tau
        states, _ = ops.linear_recurrence(log_decay.exp(), -torch.expm1(log_decay) * x, membrane)
        return {"membrane": states, "decay": log_decay.exp()}

    def cost(self) -> Cost:
        """The gate's taps, its sigmoid to the power 1 / tau, then H = x + decay (H - x)."""
        k, (squarings, powers) = self.kernel_size, squarings_and_powers(self.tau)
        return Cost(k + 1 + squarings, k + 2, transcendentals=1 + powers, state_bytes=4 * k)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, kernel_size={self.kernel_size}, tau={self.tau}, firing={self.firing}"


def squarings_and_powers(tau: float) -> tuple[int, int]:
    """What a gate to the power 1 / tau takes, as the kernels do it: multiplications, or else a power."""
    squarings = ops.squarings(1.0 / tau)
    return (0, 1) if squarings is None else (squarings, 0)


def initial_bias(owner: str, initial_decay: float | Sequence[float], tau: float, channels: int) -> Tensor:
    """The bias ``[C]`` whose gate has the decay that each channel starts with; `owner` is named in the error."""
    low, high = (
        (initial_decay, initial_decay)
        if isinstance(initial_decay, int | float)
        else (initial_decay[0], initial_decay[-1])
    )
    valid = isinstance(initial_decay, int | float) or len(initial_decay) == 2
    if not valid or not 0.0 < low <= high < 1.0:
        raise InputError(
            f"{owner}: initial_decay is {initial_decay}, "
            f"expected a number in (0, 1) or a pair (low, high) of such numbers."
        )
    steps = torch.linspace(math.log(-1.0 / math.log(low)), math.log(-1.0 / math.log(high)), channels).exp()
    decay = torch.exp(-1.0 / steps)
    # sigmoid(b)^(1/tau) = decay, so b = logit(decay^tau).
    bias = torch.logit(decay.double() ** tau).to(torch.get_default_dtype())
    if not bias.is_meta and not bool(bias.isfinite().all()):
        raise InputError(
            f"{owner}: initial_decay is {initial_decay} and tau {tau}, so near to 0 or 1 that the gate's bias would be "
            f"infinite and not be learnt; take a decay of at most 0.9999999, or a tau nearer to 1."
        )
    return bias
