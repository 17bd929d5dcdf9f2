"""A state of another neuron, batch size or dtype is refused, with both named."""

import pytest
import torch

from spikescan import InputError
from spikescan.neurons import create_neuron, list_neurons

STATEFUL = [name for name in list_neurons() if name != "psn"]
X = torch.zeros(4, 2, 3)


@pytest.mark.parametrize("name", list_neurons())
def test_a_state_of_another_neuron(name: str) -> None:
    other = "lif" if name in ("dsn", "psn", "masked_psn", "sliding_psn") else "dsn"
    state = create_neuron(other, 3, 8).initial_state(X[0])
    neuron = create_neuron(name, 3, 4)
    own = type(neuron.initial_state(X[0])).__name__
    with pytest.raises(InputError, match=rf"state of type {type(state).__name__}, but its own is {own}"):
        neuron(X, state)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_of_another_batch_size(name: str) -> None:
    neuron = create_neuron(name, 3, 8)
    with pytest.raises(InputError, match=r"\[5.*\[2"):
        neuron(X, neuron.initial_state(torch.zeros(5, 3)))


@pytest.mark.parametrize("name", [name for name in STATEFUL if name != "masked_psn"])
def test_a_state_of_another_dtype(name: str) -> None:
    neuron = create_neuron(name, 3, 8)
    with pytest.raises(InputError, match=r"torch\.float64.*torch\.float32"):
        neuron(X, neuron.initial_state(X[0].double()))


@pytest.mark.parametrize("shape", [(4, 3), (3,)])
@pytest.mark.parametrize("name", list_neurons())
def test_an_input_of_another_rank(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected \[T, B, C, \*\].*unsqueeze\(1\)"):
        create_neuron(name, 3, 4)(torch.zeros(shape))


def test_an_input_of_other_channels() -> None:
    with pytest.raises(InputError, match=r"DSN\(3\) was given \[4, 2, 5\], expected \[T, B, C, \*\] with C = 3"):
        create_neuron("dsn", 3)(torch.zeros(4, 2, 5))


@pytest.mark.parametrize("name", list_neurons())
def test_rest_is_what_no_state_means(name: str) -> None:
    neuron = create_neuron(name, 3, 4).eval()
    x = 2.0 * torch.randn(4, 2, 3)
    assert torch.equal(neuron(x)[0], neuron(x, neuron.initial_state(x[0]))[0])
