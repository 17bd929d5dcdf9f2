"""Leaky integrate and fire whose threshold is taken off one step later: snnTorch's default."""

import torch
from torch import Tensor

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary
from spikescan.neurons.base import Cost, Neuron, at_rest
from spikescan.neurons.lif import LIFState
from spikescan.neurons.padding import zero_padding
from spikescan.ops._checks import check_sequence, compute_dtype

__all__ = ["DelayedResetLIF"]


class DelayedResetLIF(Neuron):
    r"""Leaky integrate and fire with a soft reset that comes after the leak (snnTorch's ``Leaky``).

    .. math:: U_t = \beta U_{t-1} + x_t - \theta S_{t-1}, \quad S_t = \Theta(U_t - \theta)

    `LIF` takes the threshold off before the leak, so that beta theta of it arrives in the next step. Here it is the whole: a
    reset by theta / beta before the leak. With the membrane counted from -c, c = theta / beta - theta, threshold and reset are
    the same theta / beta, and it is a `LIF` with soft reset on x + c (1 - beta) whose membrane rests at c. So it is computed,
    and so its state is: `LIFState` holds U_t + c - (theta / beta) S_t.

    Args:
        tau: time constant in steps, > 1; beta = 1 - 1 / tau.
        detach_reset: no gradient through the spike in the reset (snnTorch: always).
        firing: `Binary` with a threshold above 0.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.

    Raises:
        InputError: tau is not above 1, or the firing is not binary with a threshold above 0.
    """

    firing: Binary

    def __init__(self, tau: float = 2.0, *, detach_reset: bool = True, firing: Binary | None = None) -> None:
        super().__init__()
        if not tau > 1.0:
            raise InputError(f"DelayedResetLIF: tau is {tau}, expected more than 1 (step).")
        firing = Binary() if firing is None else firing
        if not isinstance(firing, Binary) or not firing.threshold > 0.0:
            raise InputError(
                f"DelayedResetLIF: firing is {firing}, expected Binary(threshold) with a threshold above 0; "
                f"LIF(tau, firing=...) takes any other."
            )
        self.tau = float(tau)
        self.detach_reset = detach_reset
        self.firing = firing

    @property
    def shift(self) -> float:
        """c, from which the membrane is counted."""
        beta = 1.0 - 1.0 / self.tau
        return self.firing.threshold / beta - self.firing.threshold

    def initial_state(self, x_t: Tensor) -> LIFState:
        """At rest: U = 0."""
        return LIFState(at_rest(x_t) + self.shift)

    def forward(
        self, x: Tensor, state: LIFState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, LIFState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_sequence("DelayedResetLIF", x)
        (membrane,) = self.unpack(state, LIFState)
        if membrane is None:
            (membrane,) = self.initial_state(x.new_empty(x.shape[1:]))
        decay = torch.full((x.shape[2],), 1.0 - 1.0 / self.tau, dtype=torch.float64, device=x.device)
        drive = zero_padding(x, lengths).to(compute_dtype(x)) + self.shift / self.tau
        spikes, membrane = ops.leaky_integration(
            drive,
            decay,
            torch.ones_like(decay),
            firing=self.firing.surrogate.spec(self.firing.threshold + self.shift),
            reset=ops.Reset.SOFT,
            detach_reset=self.detach_reset,
            membrane=membrane,
            lengths=lengths,
        )
        return spikes.to(x.dtype), LIFState(membrane)

    @torch.no_grad()
    def trace(self, x: Tensor, state: LIFState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; the membrane U that the spikes are made of."""
        beta = 1.0 - 1.0 / self.tau
        membranes = []
        for x_t in x.unbind(0):
            (before,) = self.initial_state(x_t) if state is None else state
            membranes.append(beta * before + x_t + (self.shift / self.tau - self.shift))
            _, state = self.step(x_t, state)
        return {"membrane": torch.stack(membranes) if membranes else torch.zeros_like(x)}

    def cost(self) -> Cost:
        """The leak, the input, the reset; the offset is a constant that the bias before it can hold."""
        return Cost(1, 2, state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, firing={self.firing}"
