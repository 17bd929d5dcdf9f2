"""Each neuron against the equations that it carries the name of."""

import equations
import numpy as np
import pytest
import torch
from torch import Tensor

from spikescan.firing import Binary, Integer
from spikescan.neurons import DSN, IF, LIF, PSN, MaskedPSN, ParametricLIF, SlidingPSN, Temporal

T, C = 40, 5


@pytest.fixture
def x() -> np.ndarray:
    """Wide enough to fire and to stay silent; the weights are the same in every run."""
    torch.manual_seed(1)
    return np.random.default_rng(0).normal(0.4, 1.5, (T, C))


def run(neuron: Temporal, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes ``[T, C]`` of a single sample."""
    sequence = torch.from_numpy(x).unsqueeze(1)
    with torch.no_grad():
        spikes, _ = neuron.double()(sequence)
        membrane = neuron.trace(sequence)["membrane"]
    return spikes.squeeze(1).numpy(), membrane.squeeze(1).numpy()


def assert_fires(spikes: np.ndarray, expected: np.ndarray) -> None:
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(spikes, expected)


def values(parameter: Tensor) -> np.ndarray:
    return parameter.detach().double().numpy()


@pytest.mark.parametrize(("k", "tau", "levels"), [(4, 0.25, 4), (1, 1.0, 1), (3, 0.7, 2)])
def test_dsn(x: np.ndarray, k: int, tau: float, levels: int) -> None:
    neuron = DSN(C, kernel_size=k, tau=tau, firing=Integer(levels))
    expected, membranes, decays = equations.dsn(x, values(neuron.weight), values(neuron.bias), tau, levels)
    spikes, membrane = run(neuron, x)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-13)
    decay = neuron.trace(torch.from_numpy(x).unsqueeze(1))["decay"].squeeze(1)
    np.testing.assert_allclose(decay, decays, rtol=1e-12)


@pytest.mark.parametrize("tau", [0.25, 0.7])
def test_dsn_gradients(x: np.ndarray, tau: float) -> None:
    neuron = DSN(C, tau=tau).double()
    grad = np.random.default_rng(1).normal(size=x.shape)
    expected = equations.dsn_gradients(grad, x, values(neuron.weight), values(neuron.bias), tau, 4)
    sequence = torch.from_numpy(x).unsqueeze(1).requires_grad_()
    neuron(sequence)[0].backward(torch.from_numpy(grad).unsqueeze(1))
    actual = {"x": sequence.grad.squeeze(1), "weight": neuron.weight.grad, "bias": neuron.bias.grad}
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-10, atol=1e-12, err_msg=f"gradient of {name}")


def test_psn(x: np.ndarray) -> None:
    neuron = PSN(T)
    assert_fires(run(neuron, x)[0], equations.psn(x, values(neuron.weight), -values(neuron.bias)))


@pytest.mark.parametrize("mask_weight", [0.0, 0.3, 1.0])
def test_masked_psn(x: np.ndarray, mask_weight: float) -> None:
    neuron = MaskedPSN(T, 7, mask_weight=mask_weight)
    x = 4.0 * x
    expected = equations.masked_psn(x, values(neuron.weight), -values(neuron.bias), 7, mask_weight)
    assert_fires(run(neuron, x)[0], expected)


@pytest.mark.parametrize("order", [1, 4, T + 3])
@pytest.mark.parametrize("exponential", [True, False])
def test_sliding_psn(x: np.ndarray, order: int, exponential: bool) -> None:
    neuron = SlidingPSN(order, exponential=exponential, firing=Binary(0.5))
    assert_fires(run(neuron, x)[0], equations.sliding_psn(x, values(neuron.weight), -values(neuron.bias)))


HARD = {None: None, "soft": False, "hard": True}


@pytest.mark.parametrize("reset", HARD)
@pytest.mark.parametrize("threshold", [1.0, 0.6])
def test_integrate_and_fire(x: np.ndarray, reset: str | None, threshold: float) -> None:
    spikes, membrane = run(IF(reset=reset, firing=Binary(threshold)), x)
    expected, charges = equations.spikingjelly(x, 1.0, threshold, decay_input=False, hard=HARD[reset], integrate=True)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, charges, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reset", HARD)
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("tau", [2.0, 5.0])
def test_lif(x: np.ndarray, tau: float, decay_input: bool, reset: str | None) -> None:
    """SpikingJelly's decay_input is our scale_input."""
    spikes, membrane = run(LIF(tau, reset=reset, scale_input=decay_input, firing=Binary(0.6)), x)
    expected, charges = equations.spikingjelly(x, tau, 0.6, decay_input=decay_input, hard=HARD[reset])
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, charges, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif(x: np.ndarray, decay_input: bool) -> None:
    """1 / tau = sigmoid(w)."""
    neuron = ParametricLIF(3.0, scale_input=decay_input, firing=Binary(0.6))
    tau = 1.0 / equations.sigmoid(values(neuron.weight))
    assert tau == pytest.approx(3.0, rel=1e-6)
    expected, charges = equations.spikingjelly(x, tau, 0.6, decay_input=decay_input, hard=False)
    spikes, membrane = run(neuron, x)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, charges, rtol=0, atol=1e-12)


def test_integer_lif(x: np.ndarray) -> None:
    """Beta = 0.25 is tau = 4 / 3; a soft reset takes off the whole count."""
    spikes, membrane = run(LIF(4 / 3, scale_input=False, firing=Integer(4)), 2 * x)
    expected, charges = equations.integer_lif(2 * x, 0.25, 4)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, charges, rtol=0, atol=1e-12)


class TestSnnTorch:
    """Leaky with beta = 1 - 1 / tau is our LIF without input scaling, but for when and how it resets."""

    BETA = 0.8

    def both(self, x: np.ndarray, beta: float) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        neuron = IF() if beta == 1.0 else LIF(1.0 / (1.0 - beta), scale_input=False)
        return run(neuron, x), equations.snntorch_leaky(x, beta, 1.0)

    def test_it_is_the_same_without_leak(self, x: np.ndarray) -> None:
        (spikes, membrane), (expected, membranes) = self.both(x, 1.0)
        assert_fires(spikes, expected)
        np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-12)

    def test_it_is_the_same_until_the_first_spike(self, x: np.ndarray) -> None:
        (spikes, membrane), (expected, membranes) = self.both(x, self.BETA)
        for channel in range(C):
            first = int(np.argmax(expected[:, channel]))
            assert expected[first, channel] == 1.0
            np.testing.assert_array_equal(spikes[: first + 1, channel], expected[: first + 1, channel])
            np.testing.assert_allclose(
                membrane[: first + 1, channel], membranes[: first + 1, channel], rtol=0, atol=1e-12
            )

    def test_then_its_reset_takes_off_more(self, x: np.ndarray) -> None:
        """Ours comes before the leak, theirs after it: beta times the threshold against the whole of it."""
        (_, membrane), (expected, membranes) = self.both(x, self.BETA)
        for channel in range(C):
            after = int(np.argmax(expected[:, channel])) + 1
            difference = membrane[after, channel] - membranes[after, channel]
            assert difference == pytest.approx(1.0 - self.BETA, abs=1e-12)

    def test_a_membrane_at_the_threshold_fires_only_here(self) -> None:
        (spikes, _), (expected, _) = self.both(np.ones((1, 1)), self.BETA)
        assert (spikes.item(), expected.item()) == (1.0, 0.0)
