r"""Integrate-and-fire neurons with a reset, and by which method their spikes are found.

All methods solve the same equations and have the same gradients; `spikescan.neurons.parallel_reset` has the last three.

============= ============== ==========================================================================================
method        reset          how
============= ============== ==========================================================================================
"sweep"       any            one fused walk over time
"decoupled"   soft           the membrane without resets and the threshold that they raise, side by side (PRF)
"fixed_point" soft           all of time again and again, by scans, until no spike changes (FPT)
"speculative" soft or hard   scans of a chunk of time, each kept up to its first spike (Bullet Trains)
"auto"        any            "sweep", on every device: the fastest where it was measured (docs/performance/resets.csv)
============= ============== ==========================================================================================

Same bits on the CPU however time is cut: "sweep" and "speculative", which also share them. "decoupled" and "fixed_point" start
anew from the membrane at each call, so that they are equal to rounding: `step` gives the sweep's bits, a run over more
steps may differ in a spike where the membrane is within rounding of the threshold, and then in those that follow.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.firing import Binary, Firing, Integer, Membrane
from spikescan.neurons import parallel_reset
from spikescan.neurons.base import Cost, no_weight_decay
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops.leaky_integration import Reset, leaky_cell
from spikescan.ops.sweep import Cell

__all__ = ["IF", "ILIF", "LIF", "LIFState", "ParametricLIF"]

ResetName = Literal["soft", "hard"]
_RESETS = {None: Reset.NONE, "soft": Reset.SOFT, "hard": Reset.HARD}
Method = Literal["auto", "sweep", "decoupled", "fixed_point", "speculative"]
# How the spikes of each reset can be found. Without one there is nothing to do beside the sweep.
_METHODS: dict[str | None, tuple[str, ...]] = {
    "soft": ("auto", "sweep", "decoupled", "fixed_point", "speculative"),
    "hard": ("auto", "sweep", "speculative"),
    None: ("auto", "sweep"),
}


class LIFState(NamedTuple):
    """What an integrate-and-fire neuron carries: the membrane after the last reset, ``[B, C, *]``."""

    membrane: Tensor


class _IntegrateAndFire(SweptNeuron):
    """All of a neuron of this file but the decay and the gain of its charge."""

    state_type = LIFState

    def __init__(self, reset: ResetName | None, detach_reset: bool, firing: Firing | None, method: Method) -> None:
        super().__init__()
        if reset not in _RESETS:
            raise InputError(f"{type(self).__name__}: reset is {reset!r}, expected 'soft', 'hard' or None.")
        if method not in _METHODS[reset]:
            raise InputError(
                f"{type(self).__name__}: method is {method!r}, but reset={reset!r} has {', '.join(_METHODS[reset])}."
            )
        if reset is not None and isinstance(firing, Membrane):
            raise InputError(f"{type(self).__name__}: a reset needs spikes, and Membrane() has none; pass reset=None.")
        self.reset: ResetName | None = reset
        self.method: Method = method
        self.detach_reset = detach_reset
        self.firing = Binary() if firing is None else firing

    def cell(self) -> Cell:
        """The step with this reset."""
        return leaky_cell(_RESETS[self.reset], self.detach_reset, self.firing.spec)

    def forward(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, LIFState]:
        """Run over all of time at once; see `Temporal.forward`."""
        if self.reset is None or self.method == "auto" or self.method == "sweep":
            return super().forward(x, state, lengths)
        spikes, membrane = parallel_reset.run(
            self.method, x, **self._given(x, state), firing=self.firing.spec, reset=self.reset,
            detach_reset=self.detach_reset, lengths=lengths,
        )  # fmt: skip
        return spikes, LIFState(membrane)

    def cost(self) -> Cost:
        """The leak, the input and the reset; the gain is a constant that the weights before it can hold."""
        return Cost(1, 1 + (self.reset == "soft"), state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"reset={self.reset!r}, firing={self.firing}, method={self.method!r}"


class IF(_IntegrateAndFire):
    r"""Integrate and fire: H_t = V_{t-1} + x_t, S_t = fire(H_t), then reset.

    Reset: V = H - theta S ("soft"), V = H where S = 0 and else 0 ("hard"), or V = H (None); theta is the threshold, or 1 for
    integer spikes.

    Args:
        reset: "soft", "hard" or None.
        detach_reset: no gradient through the spike in the reset.
        firing: `Binary` or `Integer`.
        method: how the spikes are found: the table at the top of `spikescan.neurons.lif`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(
        self,
        *,
        reset: ResetName | None = "soft",
        detach_reset: bool = True,
        firing: Firing | None = None,
        method: Method = "auto",
    ) -> None:
        super().__init__(reset, detach_reset, firing, method)

    def coefficients(self, device: torch.device) -> tuple[float, float]:
        """Nothing leaks: 1 and 1."""
        return 1.0, 1.0

    def cost(self) -> Cost:
        """The input and the reset."""
        return Cost(0, 1 + (self.reset == "soft"), state_bytes=4)


class LIF(_IntegrateAndFire):
    r"""Leaky integrate and fire.

    .. math:: H_t = V_{t-1} + (x_t - V_{t-1}) / \tau, \quad S_t = \text{fire}(H_t), \quad V_t = \text{reset}(H_t, S_t)

    Resets as in `IF`. The input enters divided by tau, so that a constant input is the membrane's limit (gain 1, as in DSN);
    ``scale_input=False`` gives H_t = V_{t-1} (1 - 1 / tau) + x_t, whose limit is tau times the input (SpikingJelly's
    ``decay_input=False``; snnTorch's Leaky with beta = 1 - 1 / tau).

    Args:
        tau: time constant in steps, >= 1.
        reset: "soft", "hard" or None.
        detach_reset: no gradient through the spike in the reset.
        scale_input: divide the input by tau.
        firing: `Binary` or `Integer`.
        method: how the spikes are found: the table at the top of `spikescan.neurons.lif`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(
        self,
        tau: float = 2.0,
        *,
        reset: ResetName | None = "soft",
        detach_reset: bool = True,
        scale_input: bool = True,
        firing: Firing | None = None,
        method: Method = "auto",
    ) -> None:
        super().__init__(reset, detach_reset, firing, method)
        if not tau >= 1.0:
            raise InputError(f"LIF: tau is {tau}, expected at least 1 (steps).")
        self.tau = float(tau)
        self.scale_input = scale_input

    def coefficients(self, device: torch.device) -> tuple[float, float]:
        """1 - 1 / tau, and 1 / tau or 1."""
        leak = 1.0 / self.tau
        return 1.0 - leak, leak if self.scale_input else 1.0

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, scale_input={self.scale_input}, {super().extra_repr()}"


class ILIF(_IntegrateAndFire):
    r"""Integer LIF (I-LIF; Luo et al., SpikeYOLO, ECCV 2024): several spikes at once, taken off the membrane.

    .. math:: H_t = \beta V_{t-1} + x_t, \quad S_t = \text{clip}(\text{round}(H_t), 0, N), \quad V_t = H_t - S_t

    Args:
        decay: beta, in [0, 1].
        levels: N.
        detach_reset: no gradient through the spike in the reset, as in the authors' code.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(self, decay: float = 0.25, *, levels: int = 4, detach_reset: bool = True) -> None:
        super().__init__("soft", detach_reset, Integer(levels), "auto")
        self.levels = levels
        if not 0.0 <= decay <= 1.0:
            raise InputError(f"ILIF: decay is {decay}, expected 0 to 1.")
        self.decay = float(decay)

    def coefficients(self, device: torch.device) -> tuple[float, float]:
        """Beta and 1."""
        return self.decay, 1.0

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"decay={self.decay}, firing={self.firing}"


class ParametricLIF(_IntegrateAndFire):
    r"""Leaky integrate and fire with a learnt time constant (Fang et al., ICCV 2021).

    As `LIF` with 1 / tau = sigmoid(w), one w for the layer, started at w = -log(tau - 1).

    Args:
        tau: time constant at the start, in steps, > 1.
        reset: "soft", "hard" or None.
        detach_reset: no gradient through the spike in the reset.
        scale_input: divide the input by tau.
        firing: `Binary` or `Integer`.
        method: how the spikes are found: the table at the top of `spikescan.neurons.lif`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(
        self,
        tau: float = 2.0,
        *,
        reset: ResetName | None = "soft",
        detach_reset: bool = True,
        scale_input: bool = True,
        firing: Firing | None = None,
        method: Method = "auto",
    ) -> None:
        super().__init__(reset, detach_reset, firing, method)
        if not tau > 1.0:
            raise InputError(f"ParametricLIF: tau is {tau}, expected more than 1 (step).")
        self.scale_input = scale_input
        self.weight = no_weight_decay(nn.Parameter(torch.tensor(-math.log(tau - 1.0))))

    @property
    def tau(self) -> float:
        """The time constant in steps."""
        return float(1.0 + torch.exp(-self.weight.detach()))

    def coefficients(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """1 - 1 / tau, and 1 / tau or 1."""
        leak = torch.sigmoid(in_compute_dtype(self.weight))
        return 1.0 - leak, leak if self.scale_input else torch.ones_like(leak)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau:.3g}, scale_input={self.scale_input}, {super().extra_repr()}"
