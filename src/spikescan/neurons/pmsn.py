"""The Parallel Multi-compartment Spiking Neuron (arXiv 2408.14917)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.firing import Binary, Triangular
from spikescan.neurons.base import Cost, Temporal, at_rest, check_state, no_weight_decay
from spikescan.neurons.discretisation import exponential, log_uniform, zero_order_hold
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops._checks import in_compute_dtype
from spikescan.ops.sweep import Cell, detach, floor, relu

__all__ = ["PMSN", "PMSNState"]


class PMSNState(NamedTuple):
    """What a PMSN carries.

    The real and the imaginary parts of its hidden compartments, each ``[B, n, C, *]``, in units of their input weights, and
    the charge of the output compartment after its reset, ``[B, C, *]``.
    """

    real: Tensor
    imaginary: Tensor
    charge: Tensor


def _compartments(count: int) -> Cell:
    """Complex compartments side by side, and an integrator of what flows out of them that loses whole thresholds."""

    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        real, imaginary, charge = state[:count], state[count:-1], state[-1]
        decay_re, decay_im, weight_re, weight_im = (parameters[i * count : (i + 1) * count] for i in range(4))
        current = parameters[-1] * x
        after_re, after_im = [], []
        for n in range(count):
            re = decay_re[n] * real[n] - decay_im[n] * imaginary[n] + x
            im = decay_im[n] * real[n] + decay_re[n] * imaginary[n]
            current = current + weight_re[n] * re - weight_im[n] * im
            after_re.append(re)
            after_im.append(im)
        # The surrogate's gradient reaches the current of its own step, and no charge before it.
        charge = detach(charge) + relu(current)
        s = fire(charge)
        left = charge - s * (floor(charge / fire.unit) * fire.unit)
        return s, (*after_re, *after_im, detach(left))

    def numbered(*names: str) -> tuple[str, ...]:
        return tuple(f"{name}[{n}]" for name in names for n in range(count))

    states = (*numbered("real", "imaginary"), "charge")
    return Cell(step, states=states, parameters=(*numbered("decay_re", "decay_im", "weight_re", "weight_im"), "skip"))


_CELLS = {count: _compartments(count) for count in range(1, 9)}


class PMSN(SweptNeuron):
    r"""Linear compartments that feed an integrate-and-fire compartment whose reset can be run in parallel.

    .. math::
        h_t &= \bar A h_{t-1} + \bar B x_t, \quad \bar A = e^{\Delta A}, \; \bar B = (\bar A - 1) A^{-1} B \\
        z_t &= \operatorname{relu}(\kappa (\operatorname{Re} \textstyle\sum_n C_n h_{n,t} + D x_t)) \\
        Q_t &= r_{t-1} + z_t, \quad S_t = \text{fire}(Q_t), \quad r_t = Q_t - S_t \lfloor Q_t / \theta \rfloor \theta

    A is diagonal, -exp(a) + i omega; A, B and C are complex. The reset takes off all whole thresholds theta. As z is not
    negative, S_t = 1 is where the sum of all z crosses a multiple of theta, which is how the authors compute it: in parallel,
    from the sum. That sum grows with time and loses digits (at 16,384 steps of current 1, float32 knows it to 0.001); the
    charge that is left over stays below theta and does not, and is all that a stream has to carry. For negative current the
    two would differ, as the sum could cross the same multiple again: hence the relu. A current of several thresholds gives
    one spike.

    Backward, the surrogate's gradient goes to the current z_t of its own step only, as in the paper.

    Source: arXiv 2408.14917, with the initial values of the authors' code: A and B from the eigenvectors of a tridiagonal
    matrix of n compartments with -1/2 on its diagonal and +-5 (j + 1) beside it, input into all of them, output from the last,
    D ~ N(0, 1). Their serial path fires above the threshold and their parallel one at it; here both do at it.

    Args:
        channels: C.
        compartments: n, hidden ones of a neuron, 1 to 8; the paper's code has 4.
        step_range: Delta starts log-uniformly within it.
        current_scale: kappa; 0.2 in the authors' code for CIFAR, 1 elsewhere.
        firing: `Binary`; the default has threshold 1 and `Triangular(1)`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = PMSNState

    def __init__(
        self,
        channels: int,
        *,
        compartments: int = 4,
        step_range: Sequence[float] = (0.001, 0.1),
        current_scale: float = 1.0,
        firing: Binary | None = None,
    ) -> None:
        super().__init__()
        if compartments not in _CELLS:
            raise InputError(f"PMSN: compartments is {compartments}, expected 1 to {max(_CELLS)}.")
        if not current_scale > 0.0:
            raise InputError(f"PMSN: current_scale is {current_scale}, expected a number above 0.")
        if not isinstance(firing, Binary | None):
            raise InputError(f"PMSN: firing is {firing}, expected Binary(threshold): its reset is that of one spike.")
        if firing is not None and not firing.threshold > 0.0:
            raise InputError(f"PMSN: firing is {firing}, expected a threshold above 0: the reset takes whole ones off.")
        self.channels = channels
        self.compartments = compartments
        self.current_scale = float(current_scale)
        self.firing = Binary(1.0, Triangular(1.0)) if firing is None else firing
        self.log_step = _parameter(log_uniform("PMSN", channels, step_range))
        rate, frequency, input_weight, output_weight = _coupled(compartments)
        self.log_rate = _parameter(torch.log(rate).repeat(channels, 1))
        self.frequency = _parameter(frequency.repeat(channels, 1))
        self.input_real = _parameter(input_weight.real.repeat(channels, 1))
        self.input_imaginary = _parameter(input_weight.imag.repeat(channels, 1))
        self.output_real = _parameter(output_weight.real.repeat(channels, 1))
        self.output_imaginary = _parameter(output_weight.imag.repeat(channels, 1))
        self.skip = nn.Parameter(torch.randn(channels))

    def cell(self) -> Cell:
        """The step of all compartments."""
        return _CELLS[self.compartments]

    def coefficients(self, device: torch.device) -> tuple[Tensor, ...]:
        """The factors of the compartments, what each gives to the output for a unit of input, and D, both scaled."""
        rate, step = (torch.exp(in_compute_dtype(each)) for each in (self.log_rate, self.log_step.unsqueeze(1)))
        frequency = in_compute_dtype(self.frequency)
        decay = exponential(rate, frequency, step)
        inward = _product(zero_order_hold(rate, frequency, step), (self.input_real, self.input_imaginary))
        weight = _product(inward, (self.output_real, self.output_imaginary))
        weight_re, weight_im = (self.current_scale * part for part in weight)
        columns = (column for each in (*decay, weight_re, weight_im) for column in each.unbind(1))
        return *columns, self.current_scale * self.skip

    def initial_state(self, x_t: Tensor) -> PMSNState:
        """At rest: zeros."""
        return PMSNState(at_rest(x_t, self.compartments), at_rest(x_t, self.compartments), at_rest(x_t))

    def step(self, x_t: Tensor, state: PMSNState | None = None) -> tuple[Tensor, PMSNState]:
        """Run one time step, by `forward`: it knows how the state is made of what the cell carries."""
        return Temporal.step(self, x_t, state)

    def _given(self, x: Tensor, state: PMSNState | None) -> dict[str, Any]:
        """Parameters and state, as the op takes them: one tensor a number of the cell."""
        given = super()._given(x, None)
        if state is None:
            return given | {"state": None}
        check_state("PMSN", state, self.initial_state(x.new_empty(x.shape[1:])))
        return given | {"state": (*state.real.unbind(1), *state.imaginary.unbind(1), state.charge)}

    def _packed(self, carried: tuple[Tensor, ...]) -> PMSNState:
        n = self.compartments
        return PMSNState(torch.stack(carried[:n], 1), torch.stack(carried[n:-1], 1), carried[-1])

    def cost(self) -> Cost:
        """A complex product a compartment, its input and its output, then charge and reset."""
        n = self.compartments
        return Cost(6 * n + 1, 5 * n + 2, state_bytes=4 * (2 * n + 1))

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, compartments={self.compartments}, firing={self.firing}"


def _parameter(values: Tensor) -> nn.Parameter:
    return no_weight_decay(nn.Parameter(values.to(torch.get_default_dtype())))


def _product(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Of complex numbers as pairs."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _coupled(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rates, frequencies and complex input and output weights, each ``[n]``, of a chain of compartments in its eigenbasis."""
    coupling = torch.diag(5.0 * torch.arange(1, count, dtype=torch.float64), 1)
    frequency, vectors = torch.linalg.eigh(-1j * (coupling - coupling.T))
    return torch.full_like(frequency, 0.5), frequency, vectors.conj().sum(0), vectors[-1]
