import math

import numpy as np
import pytest
import torch

from spikescan.errors import InputError
from spikescan.layers import S4D

C = 3


def layer(states=8):
    torch.manual_seed(0)
    return S4D(C, states).double()


def kernel(module, time_steps):
    """K_t = 2 Re sum_n C_n (e^{Delta A_n} - 1) / A_n e^{t Delta A_n} for each channel, ``[T, C]``."""
    step, log_decay, frequency, weight = (
        parameter.detach().numpy() for parameter in (module.log_step, module.log_decay, module.frequency, module.weight)
    )
    a = -np.exp(log_decay) + 1j * frequency
    delta = np.exp(step)[:, None]
    c = (weight[..., 0] + 1j * weight[..., 1]) * (np.exp(delta * a) - 1.0) / a
    return np.stack([2.0 * np.real(np.sum(c * np.exp(t * delta * a), axis=1)) for t in range(time_steps)])


@pytest.mark.parametrize("states", [2, 8, 12])  # less than one sweep carries, as many, and more
@pytest.mark.parametrize("time_steps", [1, 2, 63, 127])
def test_is_the_convolution_with_its_kernel(time_steps, states):
    module = layer(states)
    x = torch.randn(time_steps, 2, C, dtype=torch.float64)
    u, k, d = x.numpy(), kernel(module, time_steps), module.skip.detach().numpy()
    expected = [sum(k[i] * u[t - i] for i in range(t + 1)) + d * u[t] for t in range(time_steps)]
    np.testing.assert_allclose(module(x)[0].detach().numpy(), np.stack(expected), rtol=1e-10, atol=1e-10)


def test_starts_as_published():
    torch.manual_seed(0)
    module = S4D(400, 64)
    assert module.log_step.exp().min() >= 0.001
    assert module.log_step.exp().max() <= 0.1
    assert abs(module.log_step.mean().item() - math.log(0.01)) < 0.2
    torch.testing.assert_close(module.log_decay.exp(), torch.full((400, 32), 0.5))
    torch.testing.assert_close(module.frequency[7], math.pi * torch.arange(32.0))
    # Variance 1 of a complex number, half of it in each part.
    assert abs(module.weight.square().sum(-1).mean().item() - 1.0) < 0.05
    assert abs(module.skip.std().item() - 1.0) < 0.1


def test_a_weight_decay_leaves_its_dynamics_alone():
    kept = {name for name, parameter in layer().named_parameters() if getattr(parameter, "no_weight_decay", False)}
    assert kept == {"log_step", "log_decay", "frequency"}


def test_float32_keeps_the_digits_of_slow_modes():
    """exp(Delta A) - 1 is 5e-4 at the smallest step: taken in float32 it would have three digits."""
    module = layer()
    x = torch.randn(500, 1, C, dtype=torch.float64)
    expected, _ = module(x)
    y, _ = module.float()(x.float())
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "channels = 0"), ((3, 5), "states = 5"), ((3, 0), "states = 0")],
    ids=str,
)
def test_names_what_is_wrong(arguments, message):
    with pytest.raises(InputError, match=message):
        S4D(*arguments)


def test_refuses_steps_and_inputs_that_do_not_fit():
    with pytest.raises(InputError, match="expected 0 < smallest"):
        S4D(3, steps=(0.1, 0.01))
    with pytest.raises(InputError, match="without space"):
        S4D(3)(torch.randn(4, 2, 3, 5))
    with pytest.raises(InputError, match="C = 3"):
        S4D(3)(torch.randn(4, 2, 4))
