"""The parallel spiking units against their matrices, and against the LIF whose reset they estimate."""

import numpy as np
import psu_equations as equations
import pytest
import torch

from spikescan import ops
from spikescan.firing import Binary
from spikescan.neurons import IPSU, LIF, PSU, RPSU, Neuron

T, C = 40, 5


@pytest.fixture
def x() -> np.ndarray:
    torch.manual_seed(1)
    return np.random.default_rng(0).normal(0.6, 1.5, (T, C))


def run(neuron: Neuron, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes ``[T, C]`` of a single sample."""
    sequence = torch.from_numpy(x).unsqueeze(1)
    with torch.no_grad():
        spikes, _ = neuron.double()(sequence)
    return spikes.squeeze(1).numpy(), neuron.trace(sequence)["membrane"].squeeze(1).numpy()


def assert_equal(got: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert 0 < np.count_nonzero(expected[0]) < expected[0].size
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=0, atol=1e-12)


def drawn(neuron: IPSU | RPSU) -> tuple[np.ndarray, np.ndarray]:
    """Weight and a bias that is not zero."""
    torch.nn.init.normal_(neuron.bias)
    return neuron.weight.detach().double().numpy(), neuron.bias.detach().double().numpy()


@pytest.mark.parametrize("scale_input", [True, False])
@pytest.mark.parametrize(("tau", "threshold"), [(2.0, 1.0), (5.0, 0.4), (1.0, 1.0)])
def test_psu(x: np.ndarray, tau: float, threshold: float, scale_input: bool) -> None:
    neuron = PSU(tau, scale_input=scale_input, firing=Binary(threshold))
    assert_equal(run(neuron, x), equations.psu(x, tau, threshold, scale_input=scale_input))


@pytest.mark.parametrize(("tau", "threshold"), [(2.0, 1.0), (5.0, 0.4)])
def test_ipsu(x: np.ndarray, tau: float, threshold: float) -> None:
    neuron = IPSU(T, tau, firing=Binary(threshold))
    weight, bias = drawn(neuron)
    assert_equal(run(neuron, x), equations.ipsu(x, weight, bias, tau, threshold))


@pytest.mark.parametrize("scale_input", [True, False])
@pytest.mark.parametrize(("tau", "threshold"), [(2.0, 1.0), (5.0, 0.4)])
def test_rpsu(x: np.ndarray, tau: float, threshold: float, scale_input: bool) -> None:
    neuron = RPSU(T, tau, scale_input=scale_input, firing=Binary(threshold))
    weight, bias = drawn(neuron)
    assert_equal(run(neuron, x), equations.rpsu(x, weight, bias, tau, threshold, scale_input=scale_input))


def iterate(neuron: PSU, x: np.ndarray, spikes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The spikes of a PSU that is told the spikes it would estimate."""
    monkeypatch.setattr(ops, "sigmoid", lambda _: torch.from_numpy(spikes).unsqueeze(1))
    return run(neuron, x)[0]


@pytest.mark.parametrize("tau", [2.0, 4.0])
@pytest.mark.parametrize("threshold", [0.7, 0.3])
def test_hard_spikes_make_it_a_picard_step_of_lif(
    x: np.ndarray, tau: float, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step makes the spikes of one more time step those of LIF, so that T of them are LIF."""
    lif = run(LIF(tau, firing=Binary(threshold)), x)[0]
    neuron = PSU(tau, firing=Binary(threshold))
    spikes = equations.picard_step(x, np.zeros_like(x), tau, threshold)
    assert not np.array_equal(spikes, lif)
    for known in range(1, T + 1):
        np.testing.assert_array_equal(spikes[:known], lif[:known])
        following = iterate(neuron, x, spikes, monkeypatch)
        np.testing.assert_array_equal(following, equations.picard_step(x, spikes, tau, threshold))
        spikes = following
    np.testing.assert_array_equal(spikes, lif)
    np.testing.assert_array_equal(iterate(neuron, x, spikes, monkeypatch), lif)
