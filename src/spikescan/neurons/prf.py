"""Resonators without reset: PRF (arXiv 2410.03530) and the neuron of S5-RF (arXiv 2504.00719)."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.firing import Binary, Firing, MultiGaussian
from spikescan.neurons.base import Cost, no_weight_decay
from spikescan.neurons.discretisation import exponential, log_uniform, zero_order_hold
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops.sweep import Cell

__all__ = ["PRF", "S5RF", "ResonatorState"]


class ResonatorState(NamedTuple):
    """What a resonator carries: the real part of its membrane, which fires, and the imaginary one, each ``[B, C, *]``."""

    real: Tensor
    imaginary: Tensor


def _resonate(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
    """The membrane is turned and shrunk by one complex factor, and the input enters its real part."""
    (u, r), (decay_re, decay_im, gain) = state, parameters
    u, r = decay_re * u - decay_im * r + gain * x, decay_im * u + decay_re * r
    return fire(u), (u, r)


def _resonate_to_held_input(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
    """As `_resonate`, with an input that turns with the membrane during the step."""
    (u, r), (decay_re, decay_im, gain_re, gain_im) = state, parameters
    u, r = decay_re * u - decay_im * r + gain_re * x, decay_im * u + decay_re * r + gain_im * x
    return fire(u), (u, r)


_RESONATE = Cell(_resonate, states=ResonatorState._fields, parameters=("decay_re", "decay_im", "gain"))
_RESONATE_TO_HELD_INPUT = Cell(
    _resonate_to_held_input, states=ResonatorState._fields, parameters=("decay_re", "decay_im", "gain_re", "gain_im")
)


class PRF(SweptNeuron):
    r"""The Parallel Resonate-and-Fire neuron: an oscillator with leak, of which the real part fires; no reset.

    .. math::
        \tilde u_t = e^{\Delta (-1/\tau + i \theta)} \, \tilde u_{t-1} + \Delta x_t, \quad
        S_t = \text{fire}(\operatorname{Re} \tilde u_t)

    It answers most to input that swings at theta: to cos(theta t) with the gain tau / 2. Its memory is tau / Delta steps long.
    At theta = 0 and Delta = 1 it is a leaky integrator of decay exp(-1 / tau), so the paper's "LIF without reset", of decay
    1 - 1 / tau, to first order only. White noise of variance s^2 gives the complex membrane the variance tau Delta s^2 / 2
    (Delta much smaller than tau), of which the real part has half where theta is much larger than 1 / tau.

    Source: arXiv 2410.03530 (Eq. 17; its Eq. 18 has decay and frequency interchanged), with the initial values of the authors'
    code. Each channel learns log Delta and log theta.

    Args:
        channels: C.
        tau: time constant in units of the input's time, of which a step is Delta long; > 0. Path-X: 100.
        learn_tau: whether each channel learns its own, as log(1 / tau).
        step_range: Delta starts log-uniformly within it. The default is the authors' for sequential MNIST; the paper and the
            Long Range Arena have (0.001, 0.1), with which white input of variance 1 fires hardly ever.
        frequency_scale: theta starts uniform within 0 and 2 pi / frequency_scale. Long Range Arena: ListOps 12, Text 16,
            Retrieval 14, Image 0.25, Pathfinder 0.6, Path-X 10.
        firing: `Binary` (the default, of threshold 1 and with `ATan(2)`) or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = ResonatorState
    log_rate: Tensor

    def __init__(
        self,
        channels: int,
        *,
        tau: float = 2.0,
        learn_tau: bool = False,
        step_range: Sequence[float] = (0.01, 1.0),
        frequency_scale: float = 1.0,
        firing: Firing | None = None,
    ) -> None:
        super().__init__()
        if not tau > 0.0 or not frequency_scale > 0.0:
            raise InputError(
                f"PRF: tau is {tau} and frequency_scale {frequency_scale}, expected both to be numbers above 0."
            )
        self.channels = channels
        self.firing = Binary() if firing is None else firing
        self.log_step = no_weight_decay(nn.Parameter(log_uniform("PRF", channels, step_range)))
        uniform = 1.0 - torch.rand(channels)  # never 0, which has no logarithm
        self.log_frequency = no_weight_decay(nn.Parameter(torch.log(2.0 * math.pi / frequency_scale * uniform)))
        self.learn_tau = learn_tau
        log_rate = torch.full((channels,), -math.log(tau))
        if learn_tau:
            self.log_rate = no_weight_decay(nn.Parameter(log_rate))
        else:
            self.register_buffer("log_rate", log_rate)

    def cell(self) -> Cell:
        """The complex step, in two real numbers."""
        return _RESONATE

    def coefficients(self, device: torch.device) -> tuple[Tensor, ...]:
        """The factor of the membrane, and the length of a step."""
        logarithms = (self.log_rate, self.log_frequency, self.log_step)
        rate, frequency, step = (torch.exp(in_compute_dtype(each)) for each in logarithms)
        return *exponential(rate, frequency, step), step

    def cost(self) -> Cost:
        """A complex product and the input; Delta is a constant that the weights before it can hold."""
        return Cost(4, 3, state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, firing={self.firing}"


class S5RF(SweptNeuron):
    r"""The resonate-and-fire neuron of S5-RF: a diagonal state space whose real part fires; no reset.

    .. math::
        \tilde u_t = e^{\eta \Lambda} \, \tilde u_{t-1} + \bar B x_t, \quad S_t = \text{fire}(\operatorname{Re} \tilde u_t),
        \quad \Lambda = -e^{a} + i \omega

    B is 1 for input that arrives as pulses ("dirac", for spikes) and (exp(eta Lambda) - 1) / Lambda for input that is
    constant during a step ("zoh", which the paper uses in the first layer). Each channel learns log eta, a and omega, which
    may change its sign. Lambda starts at the eigenvalues of blocks of the normal part of HiPPO-LegS: all decay at 1 / 2.

    Source: arXiv 2504.00719 and the authors' code. There the weights before the neuron are complex, and fixed eigenvectors
    may mix the membranes of a block before they fire. Here a channel is by itself and its input real, to which omega and
    -omega answer alike, so that a block of n channels starts with the n positive frequencies of the matrix of order 2n.

    Args:
        channels: C.
        block_size: channels of a block; the frequencies of one are those of the next.
        step_range: eta starts log-uniformly within it; (0.001, 0.1) for MNIST, (0.004, 0.1) for SHD and SSC.
        discretisation: "dirac" or "zoh".
        firing: `Binary` (the default, of threshold 1 and with `MultiGaussian`) or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = ResonatorState

    def __init__(
        self,
        channels: int,
        *,
        block_size: int = 4,
        step_range: Sequence[float] = (0.001, 0.1),
        discretisation: Literal["dirac", "zoh"] = "dirac",
        firing: Firing | None = None,
    ) -> None:
        super().__init__()
        if block_size < 1:
            raise InputError(f"S5RF: block_size is {block_size}, expected at least 1.")
        if discretisation not in ("dirac", "zoh"):
            raise InputError(f"S5RF: discretisation is {discretisation!r}, expected 'dirac' or 'zoh'.")
        self.channels = channels
        self.discretisation = discretisation
        self.firing = Binary(1.0, MultiGaussian()) if firing is None else firing
        self.log_step = no_weight_decay(nn.Parameter(log_uniform("S5RF", channels, step_range)))
        self.log_rate = no_weight_decay(nn.Parameter(torch.full((channels,), math.log(0.5))))
        blocks = _legs_frequencies(block_size).repeat(math.ceil(channels / block_size))
        self.frequency = no_weight_decay(nn.Parameter(blocks[:channels].to(torch.get_default_dtype())))

    def cell(self) -> Cell:
        """The complex step, in two real numbers."""
        return _RESONATE if self.discretisation == "dirac" else _RESONATE_TO_HELD_INPUT

    def coefficients(self, device: torch.device) -> tuple[Tensor, ...]:
        """The factor of the membrane, and that of the input."""
        rate, step = (torch.exp(in_compute_dtype(each)) for each in (self.log_rate, self.log_step))
        frequency = in_compute_dtype(self.frequency)
        decay = exponential(rate, frequency, step)
        if self.discretisation == "dirac":
            return *decay, torch.ones_like(step)
        return *decay, *zero_order_hold(rate, frequency, step)

    def cost(self) -> Cost:
        """A complex product and the input, of which the weights before it can hold one real factor."""
        return Cost(4, 3, state_bytes=8) if self.discretisation == "dirac" else Cost(5, 4, state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, discretisation={self.discretisation!r}, firing={self.firing}"


def _legs_frequencies(count: int) -> Tensor:
    """The positive imaginary parts ``[count]`` of the eigenvalues of the normal part of HiPPO-LegS of order 2 count.

    That part is S_nk = -sqrt((2n + 1)(2k + 1)) / 2 below the diagonal, its negative above it, and -1 / 2 on it.
    """
    root = torch.sqrt(2.0 * torch.arange(2 * count, dtype=torch.float64) + 1.0)
    below = torch.outer(root, root).tril(-1) / 2.0
    frequencies: Tensor = torch.linalg.eigvalsh(1j * (below.T - below))
    return frequencies[count:]
