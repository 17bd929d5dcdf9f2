"""PMSN: its gradient contract, its charge over long times, what it refuses."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from spikescan import InputError, ops
from spikescan.firing import Binary, Integer, Triangular
from spikescan.neurons import PMSN


def integrator(threshold: float = 1.0) -> PMSN:
    """One whose current is its input."""
    neuron = PMSN(1, firing=Binary(threshold, Triangular(1.0)))
    with torch.no_grad():
        neuron.skip.fill_(1.0)
        neuron.output_real.zero_()
        neuron.output_imaginary.zero_()
    return neuron


def current_of(neuron: PMSN, x: Tensor) -> Tensor:
    """z ``[T, B, C]`` by a complex recurrence, with its gradient."""
    step = torch.exp(neuron.log_step).unsqueeze(1)
    a = torch.complex(-torch.exp(neuron.log_rate), neuron.frequency)
    b = torch.complex(neuron.input_real, neuron.input_imaginary)
    c = torch.complex(neuron.output_real, neuron.output_imaginary)
    decay = torch.exp(a * step)
    states, _ = ops.linear_recurrence(decay, (decay - 1.0) / a * b * x.unsqueeze(-1))
    return torch.relu(neuron.current_scale * ((c * states).sum(-1).real + neuron.skip * x))


def test_the_gradient_of_a_spike_goes_to_its_own_current() -> None:
    """And from there through the compartments to all that came before, but through no charge."""
    torch.manual_seed(0)
    neuron = PMSN(3, current_scale=0.5).double()
    x = (2.0 * torch.randn(40, 2, 3, dtype=torch.float64)).requires_grad_()
    grad = torch.randn_like(x)
    spikes, _ = neuron(x)
    got = torch.autograd.grad(spikes, [x, *neuron.parameters()], grad)
    current = current_of(neuron, x)
    total = current.detach().cumsum(0)
    before = torch.cat([torch.zeros_like(total[:1]), total[:-1]])
    charge = total - before.floor()
    slope = (1.0 - (charge - 1.0).abs()).clamp(min=0.0)
    expected = torch.autograd.grad(current, [x, *neuron.parameters()], grad * slope)
    for name, one, other in zip(["x", *dict(neuron.named_parameters())], got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("threshold", [1.0, 0.7, 3.3])
def test_no_threshold_is_lost_without_a_spike(threshold: float) -> None:
    """Charge just below a threshold may round to a whole one when it is divided by it."""
    below = float(np.nextafter(np.float32(threshold), np.float32(0.0)))
    with torch.no_grad():
        spikes, state = integrator(threshold)(torch.tensor([below, 1e-3]).view(2, 1, 1))
    assert spikes.flatten().tolist() == [0.0, 1.0]
    assert state.charge.item() == pytest.approx(1e-3, rel=1e-3)


def test_charge_at_the_threshold_fires_and_several_thresholds_are_one_spike() -> None:
    with torch.no_grad():
        spikes, state = integrator()(torch.tensor([1.0, 3.5, 0.5, -9.0]).view(4, 1, 1))
    assert spikes.flatten().tolist() == [1.0, 1.0, 1.0, 0.0]
    assert state.charge.item() == 0.0


def test_no_weight_decay_touches_its_dynamics() -> None:
    kept = {name for name, each in PMSN(3).named_parameters() if not getattr(each, "no_weight_decay", False)}
    assert kept == {"skip"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PMSN(0), "PMSN: channels is 0"),
        (lambda: PMSN(3, compartments=9), "PMSN: compartments is 9, expected 1 to 8"),
        (lambda: PMSN(3, current_scale=0.0), "PMSN: current_scale is 0.0, expected a number above 0"),
        (lambda: PMSN(3, firing=Integer(4)), "PMSN: firing is Integer.*expected Binary"),
        (lambda: PMSN(3, firing=Binary(0.0)), "PMSN: firing is Binary.*expected a threshold above 0"),
        (lambda: PMSN(3, step_range=(0.1,)), "PMSN: step_range is"),
    ],
)
def test_arguments_out_of_range(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
