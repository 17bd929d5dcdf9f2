"""Resonators: the theorems of their paper, other ways to the same membrane, gradients, initial values, what they refuse."""

import math
from collections.abc import Callable

import prf_forms
import pytest
import torch
from torch import Tensor

from spikescan import InputError, ops
from spikescan.neurons import PRF, S5RF
from spikescan.neurons.discretisation import exponential, zero_order_hold
from spikescan.ops import FiringSpec, Kind

IDENTITY = FiringSpec(Kind.IDENTITY)


def set_to(parameter: Tensor, value: float) -> None:
    with torch.no_grad():
        parameter.fill_(math.log(value) if value else -math.inf)


def membranes(neuron: PRF | S5RF, x: Tensor) -> Tensor:
    """With their gradient."""
    parameters = neuron.coefficients(x.device)
    return ops.sweep(neuron.cell(), x, parameters, firing=IDENTITY)[0]


def test_without_frequency_it_is_a_leaky_integrator() -> None:
    """Theorem 2, to first order: its decay is exp(-1 / tau), where an LIF's is 1 - 1 / tau."""
    neuron = PRF(3).double()
    set_to(neuron.log_step, 1.0)
    set_to(neuron.log_frequency, 0.0)
    x = torch.randn(50, 2, 3, dtype=torch.float64)
    expected, _ = ops.linear_recurrence(torch.tensor(math.exp(-0.5), dtype=torch.float64), x)
    torch.testing.assert_close(neuron.trace(x)["membrane"], expected, rtol=0, atol=1e-6)
    assert math.exp(-0.5) - (1.0 - 0.5) > 0.1


@pytest.mark.parametrize(("frequency", "share"), [(0.0, 1.0), (20.0, 0.5)])
def test_the_variance_under_white_noise(frequency: float, share: float) -> None:
    """Theorem 3: tau Delta s^2 / 2 of the complex membrane; the real part has half of it where it turns fast."""
    tau, step, deviation = 2.0, 0.05, 1.5
    neuron = PRF(1, tau=tau).double()
    set_to(neuron.log_step, step)
    set_to(neuron.log_frequency, frequency)
    torch.manual_seed(0)
    x = deviation * torch.randn(800, 300, 1, dtype=torch.float64)
    _, state = neuron(x)
    real, imaginary = (part.square().mean().item() for part in state)
    expected = tau * step * deviation**2 / 2.0
    assert real + imaginary == pytest.approx(expected, rel=0.2)
    assert real == pytest.approx(share * expected, rel=0.2)


def test_it_resonates_at_its_frequency() -> None:
    """With gain tau, half of it in an input that swings along one axis: cos is two rotations, of which it follows one."""
    tau, step, theta = 5.0, 0.01, 4.0
    neuron = PRF(1, tau=tau).double()
    set_to(neuron.log_step, step)
    set_to(neuron.log_frequency, theta)
    time = step * torch.arange(8000, dtype=torch.float64)
    swings = torch.stack([torch.cos(frequency * time) for frequency in (0.5 * theta, theta, 2.0 * theta)], 1)
    amplitude = neuron.trace(swings.unsqueeze(-1))["membrane"][-1000:].amax(0).squeeze(-1)
    assert amplitude[1].item() == pytest.approx(tau / 2.0, rel=0.05)
    assert amplitude[1] > 3.0 * max(amplitude[0], amplitude[2])


@pytest.mark.parametrize("other", [prf_forms.by_scan, prf_forms.by_fft])
@pytest.mark.parametrize("time_steps", [1, 63, 1000])
def test_scan_and_fft_have_the_same_membrane_and_gradients(
    other: Callable[[PRF, Tensor], Tensor], time_steps: int
) -> None:
    torch.manual_seed(0)
    neuron = PRF(3, learn_tau=True).double()
    x = torch.randn(time_steps, 2, 3, dtype=torch.float64, requires_grad=True)
    grad = torch.randn_like(x)
    results = []
    for form in (membranes, other):
        membrane = form(neuron, x)
        results.append((membrane, *torch.autograd.grad(membrane, [x, *neuron.parameters()], grad)))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "make", [lambda: PRF(2, learn_tau=True), lambda: S5RF(2), lambda: S5RF(2, discretisation="zoh")]
)
def test_the_gradient_of_the_membrane_is_its_derivative(make: Callable[[], PRF | S5RF]) -> None:
    torch.manual_seed(0)
    neuron = make().double()
    x = torch.randn(7, 2, 2, dtype=torch.float64, requires_grad=True)
    with ops.backend("cpu"):
        assert torch.autograd.gradcheck(lambda x, *_: membranes(neuron, x), (x, *neuron.parameters()))


def test_the_coefficients_are_those_of_complex_numbers() -> None:
    """Also of steps so short that exp(z step) - 1 would keep a few digits only."""
    rate, frequency = torch.tensor([0.5, 0.01, 3.0]), torch.tensor([7.0, -300.0, 0.0])
    for step in (1e-6, 1e-3, 1.0):
        z = torch.complex(-rate.double(), frequency.double())
        grown = torch.exp(z * step)
        pairs = {"exponential": (exponential, grown), "zero_order_hold": (zero_order_hold, (grown - 1.0) / z)}
        for name, (function, expected) in pairs.items():
            got = torch.complex(*function(rate, frequency, torch.tensor(step)))
            error = (got.to(expected.dtype) - expected).abs() / expected.abs()
            assert error.max() < 3e-5, name  # float32 angles of 300 are known to 2e-5
            if step < 1.0:
                assert error.max() < 1e-6, name


def test_where_a_prf_starts() -> None:
    torch.manual_seed(0)
    neuron = PRF(10_000, tau=100.0, step_range=(0.001, 0.1), frequency_scale=16.0)
    theta, logs = neuron.log_frequency.detach().exp(), neuron.log_step.detach() / math.log(10.0)
    assert 0.0 < theta.min() < theta.max() <= math.pi / 8.0 * (1.0 + 1e-6)
    assert theta.mean().item() == pytest.approx(math.pi / 16.0, rel=0.02)
    assert -3.0 - 1e-6 <= logs.min() < logs.max() <= -1.0 + 1e-6
    assert logs.mean().item() == pytest.approx(-2.0, abs=0.02)
    assert set(dict(neuron.named_parameters())) == {"log_step", "log_frequency"}
    assert torch.equal(neuron.log_rate, torch.full((10_000,), -math.log(100.0)))
    assert "log_rate" in dict(PRF(3, learn_tau=True).named_parameters())


@pytest.mark.parametrize("make", [PRF, S5RF])
def test_no_weight_decay_touches_them(make: type[PRF] | type[S5RF]) -> None:
    assert all(parameter.no_weight_decay for parameter in make(3).parameters())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PRF(0), "PRF: channels is 0, expected at least 1"),
        (lambda: PRF(3, tau=0.0), "PRF: tau is 0.0 and frequency_scale 1.0"),
        (lambda: PRF(3, frequency_scale=-1.0), "frequency_scale -1.0, expected both to be numbers above 0"),
        (lambda: PRF(3, step_range=(0.1, 0.01)), "PRF: step_range is .0.1, 0.01., expected a pair 0 < low <= high"),
        (lambda: S5RF(3, step_range=(0.0, 0.01)), "S5RF: step_range"),
        (lambda: S5RF(3, block_size=0), "S5RF: block_size is 0, expected at least 1"),
        (lambda: S5RF(3, discretisation="euler"), "S5RF: discretisation is 'euler', expected 'dirac' or 'zoh'"),
        (lambda: PRF(3)(torch.zeros(5, 2, 4)), "PRF.3. was given .5, 2, 4., expected"),
    ],
)
def test_arguments_out_of_range(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
