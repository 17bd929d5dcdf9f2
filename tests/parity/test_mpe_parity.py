"""MPEPSN against its equations: training with the numbers it draws, evaluation with their mean, and the auxiliary loss."""

import equations as shared
import mpe_equations as equations
import numpy as np
import pytest
import torch

from spikescan import auxiliary_losses
from spikescan.firing import Binary, Triangular
from spikescan.neurons import MPEPSN

T, C = 40, 5


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(0.4, 1.5, (T, C))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def guesses(x: np.ndarray, training: bool) -> np.ndarray:
    """What b is: the first numbers of the generator against the probability, or the probability."""
    probability = shared.sigmoid(x)
    if not training:
        return probability
    draws = torch.rand(T, 1, C, generator=seeded(), dtype=torch.float64).squeeze(1).numpy()
    return (draws < probability).astype(np.float64)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("tau", "threshold"), [(0.25, 1.0), (0.9, 0.4)])
def test_mpe_psn(x: np.ndarray, tau: float, threshold: float, training: bool) -> None:
    firing = Binary(threshold, Triangular())
    neuron = MPEPSN(tau, generator=seeded(), firing=firing).double().train(training)
    with torch.no_grad():
        neuron.threshold.fill_(threshold)
    b = guesses(x, training)
    spikes, membranes, estimates = equations.mpe_psn(x, b, tau, threshold)
    assert 0 < np.count_nonzero(spikes) < spikes.size
    sequence = torch.from_numpy(x).unsqueeze(1).requires_grad_()
    with auxiliary_losses() as losses:
        got, _ = neuron(sequence)
    np.testing.assert_array_equal(got.detach().squeeze(1), spikes)
    expected = equations.auxiliary_loss(spikes, membranes, estimates, np.full(T, 1.0 / T))
    np.testing.assert_allclose([loss.detach().numpy() for loss in losses], [[expected]], rtol=1e-12)
    grad = np.random.default_rng(1).normal(size=x.shape)
    got.backward(torch.from_numpy(grad).unsqueeze(1))
    of_x, of_threshold = equations.gradients(grad, x, b, tau, threshold)
    np.testing.assert_allclose(sequence.grad.squeeze(1), of_x, rtol=1e-11, atol=1e-13)
    assert float(neuron.threshold.grad) == pytest.approx(of_threshold, rel=1e-11)
    neuron.generator = seeded()
    trace = neuron.trace(sequence.detach())
    np.testing.assert_allclose(trace["membrane"].squeeze(1), membranes, rtol=0, atol=1e-13)
    np.testing.assert_allclose(trace["estimate"].squeeze(1), estimates, rtol=0, atol=1e-13)


def test_learnt_weights_of_the_loss(x: np.ndarray) -> None:
    """The value, and the gradient of c, which is the error itself."""
    neuron = MPEPSN(learnt_loss_steps=T, generator=seeded()).double()
    weights = np.random.default_rng(2).uniform(0.0, 1.0, T)
    with torch.no_grad():
        neuron.loss_weight.copy_(torch.from_numpy(weights))
    spikes, membranes, estimates = equations.mpe_psn(x, guesses(x, True), 0.25, 1.0)
    with auxiliary_losses() as losses:
        neuron(torch.from_numpy(x).unsqueeze(1))
    (loss,) = losses
    assert loss.item() == pytest.approx(equations.auxiliary_loss(spikes, membranes, estimates, weights), rel=1e-12)
    loss.sum().backward()
    errors = ((estimates - (1.0 - spikes) * membranes) ** 2).sum(1) / spikes.size
    np.testing.assert_allclose(neuron.loss_weight.grad, errors, rtol=1e-12)
