"""The serial relatives of the LIF against their equations, spikes and membranes."""

import lif_variant_equations as equations
import numpy as np
import pytest
import torch

from spikescan import ALIF, CLIF, GLIF, ILIF, KLIF

TIMES = (1, 2, 63, 200)


def wide(time_steps: int) -> np.ndarray:
    return 2.0 * np.random.default_rng(time_steps).normal(size=(time_steps, 7)) + 0.7


def compare(neuron, x, spikes, membranes):
    sequence = torch.from_numpy(x).unsqueeze(1)
    with torch.no_grad():
        got, _ = neuron.double()(sequence)
    np.testing.assert_allclose(neuron.trace(sequence)["membrane"].squeeze(1), membranes, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(got.squeeze(1).numpy(), spikes)
    assert len(x) < 63 or 0.02 < (spikes > 0).mean() < 0.98


@pytest.mark.parametrize("time_steps", TIMES)
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("scale_reset", [False, True])
def test_klif(time_steps, reset, scale_reset):
    neuron = KLIF(3.0, reset=reset, scale_reset=scale_reset)
    neuron.slope.data.fill_(1.7)
    x = wide(time_steps)
    expected = equations.klif(x, 3.0, neuron.slope.double().item(), hard=reset == "hard", scale_reset=scale_reset)
    compare(neuron, x, *expected)


@pytest.mark.parametrize("time_steps", TIMES)
def test_clif(time_steps):
    x = wide(time_steps)
    compare(CLIF(3.0), x, *equations.clif(x, 3.0))


@pytest.mark.parametrize("time_steps", TIMES)
def test_alif(time_steps):
    x = 2.0 * wide(time_steps)
    compare(ALIF(3.0, tau_adaptation=30.0, beta=0.4), x, *equations.alif(x, 3.0, 30.0, 0.4))


@pytest.mark.parametrize("time_steps", TIMES)
def test_glif(time_steps):
    torch.manual_seed(0)
    neuron = GLIF(7, time_steps).double()
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter += torch.randn_like(parameter)
    decay, threshold, reset, linear = torch.sigmoid(neuron.constants.detach()).numpy()
    gates, conductance = (torch.sigmoid(p.detach()).numpy() for p in (neuron.gates, neuron.conductance))
    x = wide(time_steps)
    compare(neuron, x, *equations.glif(x, gates, decay, threshold, reset, linear, conductance))


def test_glif_starts_as_its_authors_start_it():
    neuron = GLIF(5, 20)
    decay, threshold, reset, linear = torch.sigmoid(neuron.constants.detach())
    for got, expected in ((decay, 0.25), (threshold, 0.5), (reset, 0.5), (linear, 0.5 / 40)):
        torch.testing.assert_close(got, torch.full((5,), expected))
    assert neuron.gates.abs().max() <= 0.1
    torch.testing.assert_close(torch.sigmoid(neuron.conductance), torch.full((20, 5), 0.5))


def test_ilif_is_the_integer_lif():
    from equations import integer_lif

    x = 3.0 * wide(200)
    compare(ILIF(), x, *integer_lif(x, 0.25, 4))
