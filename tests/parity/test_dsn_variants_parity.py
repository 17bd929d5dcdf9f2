"""The variants of the DSN against their equations, in value and in gradient."""

from collections.abc import Callable

import dsn_variants_equations as equations
import numpy as np
import pytest
import torch
from torch import Tensor

from spikescan.firing import Integer
from spikescan.neurons import DSN, DenseDSN, InterChannelDSN, LowRankDSN, Neuron, StaticDSN

C = 5
Build = Callable[[float, int], Neuron]
VARIANTS: dict[str, Build] = {
    "static": lambda tau, levels: StaticDSN(C, tau=tau, firing=Integer(levels)),
    "dense": lambda tau, levels: DenseDSN(C, tau=tau, firing=Integer(levels)),
    "low rank": lambda tau, levels: LowRankDSN(C, rank=2, tau=tau, firing=Integer(levels)),
    "inter-channel": lambda tau, levels: InterChannelDSN(C, kernel_size=3, tau=tau, firing=Integer(levels)),
}
every_variant = pytest.mark.parametrize("build", VARIANTS.values(), ids=VARIANTS.keys())


def values(parameter: Tensor) -> np.ndarray:
    return parameter.detach().double().numpy()


def taps(neuron: Neuron) -> list[np.ndarray]:
    match neuron:
        case DenseDSN():
            return [values(neuron.weight)]
        case LowRankDSN():
            return [values(neuron.up) @ values(neuron.down)]
        case InterChannelDSN():
            return list(values(neuron.weight))
    return []


def made(build: Build, tau: float = 0.25, levels: int = 4) -> Neuron:
    torch.manual_seed(1)
    return build(tau, levels).double()


@every_variant
@pytest.mark.parametrize(("tau", "levels"), [(0.25, 4), (0.7, 2)])
@pytest.mark.parametrize("steps", [1, 2, 40])
def test_it_is_its_equation(build: Build, tau: float, levels: int, steps: int) -> None:
    neuron = made(build, tau, levels)
    x = np.random.default_rng(0).normal(0.4, 1.5, (steps, C))
    a = equations.gate(x, values(neuron.bias), taps(neuron))
    expected, membranes, decays = equations.dynamics(x, a, tau, levels)
    sequence = torch.from_numpy(x).unsqueeze(1)
    with torch.no_grad():
        spikes, _ = neuron(sequence)
    trace = neuron.trace(sequence)
    assert steps < 40 or 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(spikes.squeeze(1), expected)
    np.testing.assert_allclose(trace["membrane"].squeeze(1), membranes, rtol=0, atol=1e-13)
    np.testing.assert_allclose(trace["decay"].squeeze(1), decays, rtol=1e-12)


@every_variant
def test_sites_are_each_a_sequence_of_their_own(build: Build) -> None:
    """Channels mix within a site, not between sites."""
    neuron = made(build)
    x = torch.randn(20, 2, C, 2, 3, dtype=torch.float64)
    whole, _ = neuron(x)
    for row in range(2):
        for column in range(3):
            alone, _ = neuron(x[..., row, column])
            assert torch.equal(alone, whole[..., row, column])


@every_variant
def test_gradients_are_those_of_a_walk_back(build: Build) -> None:
    neuron = made(build)
    rng = np.random.default_rng(0)
    x, grad = rng.normal(0.4, 1.5, (40, C)), rng.normal(size=(40, C))
    expected = equations.gradients(grad, x, values(neuron.bias), taps(neuron), 0.25, 4)
    sequence = torch.from_numpy(x).unsqueeze(1).requires_grad_()
    neuron(sequence)[0].backward(torch.from_numpy(grad).unsqueeze(1))
    found = {"x": sequence.grad.squeeze(1), "bias": neuron.bias.grad}
    of_taps = expected.pop("taps")
    match neuron:
        case DenseDSN():
            found["weight"], expected["weight"] = neuron.weight.grad, of_taps[0]
        case LowRankDSN():
            found |= {"up": neuron.up.grad, "down": neuron.down.grad}
            expected |= {"up": of_taps[0] @ values(neuron.down).T, "down": values(neuron.up).T @ of_taps[0]}
        case InterChannelDSN():
            found["weight"], expected["weight"] = neuron.weight.grad, of_taps
    assert {"x"} | {name for name, _ in neuron.named_parameters()} == set(found)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-12, err_msg=f"gradient of {name}")


@every_variant
def test_the_membrane_passes_gradcheck(build: Build) -> None:
    """Integer firing is not differentiable; the membrane that is carried out is, with respect to all that comes in."""
    neuron = made(build)
    x = torch.randn(4, 2, C, dtype=torch.float64, requires_grad=True)
    state = [tensor.clone().requires_grad_() for tensor in neuron(torch.randn_like(x))[1]]
    kind = type(neuron.initial_state(x[0]))
    inputs = [x, *(tensor for tensor in state if tensor.numel())]

    def membrane(sequence: Tensor, *fields: Tensor) -> Tensor:
        return neuron(sequence, kind(*fields, *state[len(fields) :]))[1].membrane

    assert torch.autograd.gradcheck(membrane, inputs)


def test_a_diagonal_gate_is_the_dsn() -> None:
    """A convolution between channels whose taps are diagonal is one a channel; without taps there is a constant."""
    neuron = DSN(C, kernel_size=3).double()
    mixing = InterChannelDSN(C, kernel_size=3).double()
    with torch.no_grad():
        for tap in range(3):
            mixing.weight[tap] = torch.diag(neuron.weight[:, tap])
    x = torch.randn(50, 2, C, dtype=torch.float64)
    torch.testing.assert_close(mixing.trace(x)["membrane"], neuron.trace(x)["membrane"], rtol=1e-12, atol=1e-13)
    static = StaticDSN(C, initial_decay=(0.6, 0.99)).double()
    with torch.no_grad():
        neuron.weight.zero_()
        neuron.bias.copy_(static.bias)
    assert torch.equal(static(x)[0], neuron(x)[0])
