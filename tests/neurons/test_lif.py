"""Integrate-and-fire neurons: where they start, what a reset and its gradient do, what they refuse."""

import math

import pytest
import torch
from torch import Tensor

from spikescan import InputError
from spikescan.firing import ATan, Binary
from spikescan.neurons import IF, LIF, ParametricLIF


def slope(membrane: float) -> float:
    """Of ATan(2) at the threshold 1."""
    return 1.0 / (1.0 + (math.pi * (membrane - 1.0)) ** 2)


def gradient_of_first_input(neuron: IF) -> Tensor:
    """Of the last membrane, after two steps of which the first fires."""
    x = torch.tensor([1.5, 0.1], dtype=torch.float64).view(2, 1, 1).requires_grad_()
    _, state = neuron(x)
    state.membrane.sum().backward()
    return x.grad[0, 0, 0]


def test_a_detached_reset_has_no_gradient_through_its_spike() -> None:
    firing = Binary(1.0, ATan(2.0))
    assert gradient_of_first_input(IF(firing=firing)) == 1.0
    full = gradient_of_first_input(IF(detach_reset=False, firing=firing))
    assert float(full) == pytest.approx((1.0 - slope(1.5)) * (1.0 - slope(0.6)))
    assert gradient_of_first_input(IF(reset="hard", firing=firing)) == 0.0
    hard = gradient_of_first_input(IF(reset="hard", detach_reset=False, firing=firing))
    assert float(hard) == pytest.approx(-1.5 * slope(1.5) * (1.0 - 0.1 * slope(0.1)))


@pytest.mark.parametrize(("scale_input", "limit"), [(True, 0.3), (False, 1.5)])
@pytest.mark.parametrize("make", [LIF, ParametricLIF])
def test_a_constant_input_has_its_limit(make: type[LIF], scale_input: bool, limit: float) -> None:
    """Gain 1, or tau where the input is not scaled."""
    neuron = make(5.0, reset=None, scale_input=scale_input)
    _, state = neuron(torch.full((200, 1, 1), 0.3))
    assert float(state.membrane.detach()) == pytest.approx(limit, rel=1e-5)


@pytest.mark.parametrize("tau", [1.5, 2.0, 20.0])
def test_parametric_lif_starts_at_its_time_constant(tau: float) -> None:
    neuron = ParametricLIF(tau)
    assert float(neuron.weight.detach()) == pytest.approx(-math.log(tau - 1.0))
    assert neuron.tau == pytest.approx(tau)


def test_parametric_lif_learns_its_time_constant() -> None:
    neuron = ParametricLIF()
    neuron(torch.rand(9, 2, 3))[1].membrane.sum().backward()
    assert neuron.weight.grad != 0.0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LIF(0.5), "LIF: tau is 0.5, expected at least 1"),
        (lambda: ParametricLIF(1.0), "ParametricLIF: tau is 1.0, expected more than 1"),
        (lambda: IF(reset="zero"), "IF: reset is 'zero', expected 'soft', 'hard' or None"),
        (lambda: LIF(reset="zero"), "LIF: reset is 'zero'"),
    ],
)
def test_arguments_out_of_range(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
