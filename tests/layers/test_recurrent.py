"""A layer that hears its own spikes one step late."""

import numpy as np
import pytest
import torch
from torch import Tensor

from spikescan import DSN, LIF, PSN, Binary, InputError, Recurrent, Sequential


def by_hand(layer: Recurrent, x: Tensor) -> Tensor:
    """The equations of the layer and of its LIF, as they read."""
    membrane = spikes = x.new_zeros(x.shape[1], layer.channels)
    out = []
    for x_t in x.unbind(0):
        current = x_t @ layer.linear.weight.T + layer.linear.bias + spikes @ layer.lateral.weight.T
        charged = membrane + (current - membrane) / 3.0
        spikes = Binary()(charged)
        membrane = charged - spikes.detach()
        out.append(spikes)
    return torch.stack(out)


def test_it_is_its_equation_and_has_its_gradient() -> None:
    torch.manual_seed(0)
    layer = Recurrent(4, 7, LIF(3.0)).double()
    with torch.no_grad():
        layer.lateral.weight.mul_(5.0)
    x = 3.0 * torch.randn(60, 2, 4, dtype=torch.float64)
    spikes, state = layer(x)
    expected = by_hand(layer, x)
    assert 0 < spikes.count_nonzero() < spikes.numel()
    assert torch.equal(spikes, expected)
    assert torch.equal(state.spikes, spikes[-1])
    grad, weights = torch.randn_like(spikes), list(layer.parameters())
    found = torch.autograd.grad((spikes * grad).sum(), weights)
    for one, other in zip(found, torch.autograd.grad((expected * grad).sum(), weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_spikes_of_the_step_before_come_back() -> None:
    """One input spike goes round a ring of neurons for ever."""
    layer = Recurrent(1, 3, LIF(1.0))
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [0.0], [0.0]]))
        layer.linear.bias.zero_()
        layer.lateral.weight.copy_(torch.eye(3).roll(1, 0))
        x = torch.zeros(7, 1, 1)
        x[0] = 1.0
        spikes, _ = layer(x)
    np.testing.assert_array_equal(spikes.squeeze(1), torch.eye(3).repeat(3, 1)[:7])


def test_without_lateral_weights_it_is_a_linear_map_and_a_neuron() -> None:
    layer = Recurrent(4, 7, DSN(7), lateral=False)
    x = torch.randn(20, 2, 4)
    assert torch.equal(layer(x)[0], Sequential(layer.linear, layer.neuron)(x)[0])
    assert {name.partition(".")[0] for name, _ in layer.named_parameters()} == {"linear", "neuron"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Recurrent(0, 3, LIF()), "inputs is 0 and channels 3"),
        (lambda: Recurrent(2, 3, PSN(8)), "PSN cannot run step by step"),
        (lambda: Recurrent(2, 3, LIF())(torch.zeros(5, 1, 4)), "expected .* with C = 2"),
        (lambda: Recurrent(2, 3, LIF())(torch.zeros(5, 1, 2, 6)), "flatten its space"),
        (lambda: Recurrent(2, 3, LIF())(torch.zeros(5, 1, 2), (1, 2)), "its own is RecurrentState"),
    ],
)
def test_what_does_not_fit_is_named(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()
