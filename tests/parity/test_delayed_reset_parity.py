"""DelayedResetLIF against snnTorch's Leaky, whose reset comes a step later and undecayed."""

import equations
import numpy as np
import pytest
import torch

from spikescan import Binary, DelayedResetLIF, InputError


@pytest.mark.parametrize("threshold", [1.0, 0.6])
@pytest.mark.parametrize("beta", [0.8, 0.5, 0.05, 0.0])
def test_spikes_and_membranes(beta: float, threshold: float) -> None:
    x = np.random.default_rng(0).normal(0.4, 1.5, (200, 5))
    expected, membranes = equations.snntorch_leaky(x, beta, threshold)
    neuron = DelayedResetLIF(1.0 / (1.0 - beta), firing=Binary(threshold))
    sequence = torch.from_numpy(x).unsqueeze(1)
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(neuron(sequence)[0].squeeze(1), expected)
    np.testing.assert_allclose(neuron.trace(sequence)["membrane"].squeeze(1), membranes, rtol=0, atol=1e-11)


def test_a_time_constant_below_a_step() -> None:
    with pytest.raises(InputError, match="DelayedResetLIF: tau is 0"):
        DelayedResetLIF(0.5)
