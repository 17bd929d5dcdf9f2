"""The parallel spiking units: where they start, what they carry, what they refuse, their gradients."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from spikescan import Cost, InputError
from spikescan.firing import Integer
from spikescan.neurons import IPSU, PSU, RPSU


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("unit", [IPSU, RPSU])
def test_initial_values(unit: type[IPSU | RPSU]) -> None:
    """Kaiming's normal by the outputs: a variance of 2 / T."""
    neuron = unit(100)
    assert float(neuron.weight.detach().std()) == pytest.approx(math.sqrt(2.0 / 100), rel=0.05)
    assert torch.equal(neuron.bias.detach(), torch.zeros(100))
    assert (neuron.tau, neuron.firing.threshold) == (2.0, 1.0)


def test_psu_has_nothing_to_learn_and_no_length() -> None:
    neuron = PSU()
    assert not list(neuron.parameters())
    assert not neuron.length_bound
    x = torch.randn(1000, 1, 3)
    _, state = neuron(x)
    assert [tensor.shape for tensor in state] == [(1, 3), (1, 3)]


@pytest.mark.parametrize("unit", [IPSU, RPSU])
def test_the_matrix_ends(unit: type[IPSU | RPSU]) -> None:
    neuron = unit(6)
    name = unit.__name__
    with pytest.raises(InputError, match=rf"{name}\(6\) has seen 0 .* up to 7: its matrix ends at 6.*SlidingPSN"):
        neuron(torch.zeros(7, 1, 3))
    _, state = neuron(torch.zeros(6, 1, 3))
    with pytest.raises(InputError, match=rf"{name}\(6\) has seen 6 .* up to 7"):
        neuron.step(torch.zeros(1, 3), state)


@pytest.mark.parametrize("unit", [IPSU, RPSU])
def test_only_the_past_is_mixed(unit: type[IPSU | RPSU]) -> None:
    """What stands above the diagonal neither matters nor has a gradient."""
    neuron = unit(6).double()
    x = torch.randn(6, 2, 3).double()
    before = neuron.trace(x)["membrane"]
    neuron(x)[0].sum().backward()
    assert neuron.weight.grad.triu(1).count_nonzero() == 0
    with torch.no_grad():
        neuron.weight += torch.randn(6, 6).triu(1)
    assert torch.equal(neuron.trace(x)["membrane"], before)


@pytest.mark.parametrize(
    "neuron", [PSU(3.0), PSU(3.0, scale_input=False), IPSU(7, 3.0), RPSU(7, 3.0)], ids=lambda neuron: repr(neuron)
)
def test_gradients_of_the_membrane(neuron: PSU | IPSU | RPSU) -> None:
    """Of input, parameters and carried state, to the membranes and the next state."""
    neuron = neuron.double()
    x = torch.randn(5, 2, 3).double()
    with torch.no_grad():
        _, state = neuron(x[:2])
    tensors = [tensor for tensor in state if tensor.is_floating_point()]
    rest = [tensor for tensor in state if not tensor.is_floating_point()]
    leaves = (x[2:].clone().requires_grad_(), *(each.clone().requires_grad_() for each in tensors))

    def run(x: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        carried = type(state)(*rest, *others[: len(tensors)])
        membrane, after = neuron.charge(x, carried, None)
        return (membrane, *(tensor for tensor in after if tensor.is_floating_point()))

    assert gradcheck(run, (*leaves, *neuron.parameters()))


def test_an_integer_spike_takes_off_one() -> None:
    x = torch.randn(20, 1, 3)
    one = PSU().trace(x)["membrane"]
    assert torch.equal(PSU(firing=Integer(3)).trace(x)["membrane"], one)
    assert PSU(firing=Integer(3))(3.0 * x)[0].max() > 1.0


def test_costs() -> None:
    assert PSU().cost() == Cost(3, 3, transcendentals=1, state_bytes=8)
    assert IPSU(9).cost() == Cost(7, 7, state_bytes=36)
    assert RPSU(9).cost() == Cost(8, 8, transcendentals=1, state_bytes=40)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PSU(0.5), "PSU: tau is 0.5, expected at least 1"),
        (lambda: IPSU(5, math.nan), "IPSU: tau is nan, expected at least 1"),
        (lambda: RPSU(0), "RPSU: time_steps is 0, expected at least 1"),
    ],
)
def test_arguments_out_of_range(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
