"""Neurons apart from each other."""

import pytest
import torch

from spikescan import LIF, SlidingPSN
from spikescan.errors import InputError
from spikescan.models import single


def test_each_neuron_has_its_own_gain_offset_and_parameters():
    torch.manual_seed(0)
    model = single(1, 3, neuron=lambda channels: SlidingPSN(4))
    with torch.no_grad():
        model.gain.copy_(torch.tensor([[0.5], [2.0], [-1.0]]))
        model.offset.copy_(torch.tensor([0.1, 0.0, 0.7]))
        model.neurons[1].weight.mul_(2.0)
    x = torch.randn(20, 4, 1)
    y, _ = model(x)
    for k, (gain, offset) in enumerate([(0.5, 0.1), (2.0, 0.0), (-1.0, 0.7)]):
        assert torch.equal(y[..., k : k + 1], model.neurons[k](gain * x + offset)[0])


def test_a_gradient_reaches_every_start():
    model = single(1, 2, neuron=lambda channels: LIF())
    model(torch.randn(20, 4, 1))[0].sum().backward()
    assert (model.gain.grad != 0).all()
    assert (model.offset.grad != 0).all()


def test_what_does_not_fit_is_refused():
    model = single(1, 2, neuron=lambda channels: LIF())
    with pytest.raises(InputError, match=r"given \[5, 3, 2\], expected \[T, B, C\] with C = 1"):
        model(torch.zeros(5, 3, 2))
    with pytest.raises(InputError, match="expected a tuple of 2 states"):
        model(torch.zeros(5, 3, 1), ())
