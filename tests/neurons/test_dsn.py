"""What the dynamic decay neuron promises: where it starts, that its membrane is bounded, what its decay does."""

import math

import pytest
import torch
from torch import Tensor

from spikescan import InputError, ops
from spikescan.neurons import DSN


def membranes(neuron: DSN, x: Tensor) -> Tensor:
    """The membrane at every step, from the fused kernel."""
    with torch.no_grad():
        return ops.dynamic_decay(x, neuron.weight, neuron.bias, tau=neuron.tau, firing=ops.IDENTITY)[0]


def assert_within_hull(states: Tensor, x: Tensor, rounding: float) -> None:
    """Between the least and the greatest of 0 and the inputs so far."""
    slack = rounding * x.abs().max()
    assert bool((states <= x.cummax(0).values.clamp(min=0.0) + slack).all())
    assert bool((states >= x.cummin(0).values.clamp(max=0.0) - slack).all())


@pytest.mark.parametrize(("decay", "bias"), [(0.5, 1.665), (0.9, 3.623)])
def test_the_bias_starts_at_the_initial_decay(decay: float, bias: float) -> None:
    neuron = DSN(3, initial_decay=decay)
    torch.testing.assert_close(neuron.bias.detach(), torch.full((3,), bias), rtol=0, atol=1e-3)
    torch.testing.assert_close(neuron.trace(torch.zeros(1, 1, 3))["decay"], torch.full((1, 1, 3), decay))


def test_the_weights_start_uniform_as_those_of_a_depthwise_convolution() -> None:
    weight = DSN(10_000, kernel_size=4).weight
    assert weight.shape == (10_000, 4)
    assert weight.abs().max() <= 0.5
    assert float(weight.detach().std()) == pytest.approx(0.5 / math.sqrt(3.0), rel=0.02)


def test_a_pair_spreads_the_time_constants_log_uniformly() -> None:
    neuron = DSN(9, initial_decay=(0.6, 0.995)).double()
    steps = -1.0 / neuron.trace(torch.zeros(1, 1, 9, dtype=torch.float64))["decay"].flatten().log()
    assert float(steps[0]) == pytest.approx(-1.0 / math.log(0.6), rel=1e-4)
    assert float(steps[-1]) == pytest.approx(-1.0 / math.log(0.995), rel=1e-3)
    ratios = steps[1:] / steps[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand(8), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("initial_decay", [0.0, 1.0, -0.5, (0.9, 0.6), (0.5,), (0.1, 0.2, 0.3), float("nan")])
def test_an_initial_decay_outside_its_range(initial_decay: object) -> None:
    with pytest.raises(InputError, match=r"initial_decay is .*expected a number in \(0, 1\) or a pair"):
        DSN(3, initial_decay=initial_decay)


@pytest.mark.parametrize("arguments", [{"initial_decay": 0.99999999}, {"tau": 1e4}])
def test_a_bias_without_end_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"initial_decay is .* would be infinite"):
        DSN(3, **arguments)
    assert DSN(3, initial_decay=0.9999999).bias.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": 0}, "channels is 0 and kernel_size 4, expected both at least 1"),
        ({"channels": 3, "kernel_size": 0}, "kernel_size 0"),
        ({"channels": 3, "tau": 0.0}, "tau is 0.0, expected a number above 0"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DSN(**arguments)


def test_it_carries_the_membrane_and_the_last_inputs() -> None:
    state = DSN(3).initial_state(torch.ones(2, 3, 5))
    assert (state.membrane.shape, state.window.shape) == ((2, 3, 5), (2, 3, 3, 5))
    assert not state.membrane.any()
    assert not state.window.any()


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_the_membrane_stays_in_the_hull_of_zero_and_its_inputs(
    size: float, dtype: torch.dtype, rounding: float
) -> None:
    x = size * torch.randn(500, 3, 17, dtype=dtype)
    neuron = DSN(17, initial_decay=(0.6, 0.995)).to(dtype)
    assert_within_hull(membranes(neuron, x), x, rounding)


def test_long_control() -> None:
    """Bounded input gives a bounded membrane, however long it lasts; and nothing turns NaN."""
    torch.manual_seed(0)
    x = 2.0 * torch.rand(100_000, 1, 5) - 0.5
    neuron = DSN(5, initial_decay=(0.5, 0.9999))
    states = membranes(neuron, x)
    assert_within_hull(states, x, 1e-3)  # one rounding a step, remembered for 10,000 steps
    assert states[-1000:].std() > 0


def test_a_constant_decay_gives_the_moving_average() -> None:
    """Weights of zero: H_t = sum_i alpha^(t-i) (1 - alpha) x_i."""
    neuron = DSN(3, initial_decay=0.9).double()
    torch.nn.init.zeros_(neuron.weight)
    x = torch.randn(50, 2, 3, dtype=torch.float64)
    alpha = torch.sigmoid(neuron.bias.detach()[0]) ** 4
    assert float(alpha) == pytest.approx(0.9, rel=1e-6)
    age = torch.arange(50.0, dtype=torch.float64).unsqueeze(1) - torch.arange(50.0, dtype=torch.float64)
    kernel = (alpha**age * (1.0 - alpha)).tril()
    expected = torch.einsum("ti,ibc->tbc", kernel, x)
    torch.testing.assert_close(membranes(neuron, x), expected, rtol=1e-12, atol=1e-13)


def test_short_control() -> None:
    """H_t falls below the threshold in one step just where alpha_t < (Vth - x_t) / (H_{t-1} - x_t)."""
    torch.manual_seed(0)
    x = 3.0 * torch.randn(200, 4, 17, dtype=torch.float64)
    neuron = DSN(17).double()
    states, decay = membranes(neuron, x), neuron.trace(x)["decay"]
    before, x, now, decay = states[:-1], x[1:], states[1:], decay[1:]
    applies = (x < 1.0) & (before >= 1.0)
    falls, predicted = now[applies] < 1.0, (decay < (1.0 - x) / (before - x))[applies]
    assert 100 < int(falls.sum()) < falls.numel() - 100
    assert torch.equal(falls, predicted)


@pytest.mark.parametrize(("weight", "kept"), [(-50.0, 0.0), (50.0, 1.0)])
def test_a_decay_of_zero_replaces_and_of_one_keeps(weight: float, kept: float) -> None:
    neuron = DSN(1, kernel_size=1)
    torch.nn.init.constant_(neuron.weight, weight)
    state = neuron.initial_state(torch.zeros(1, 1))._replace(membrane=torch.full((1, 1), 0.25))
    with torch.no_grad():
        _, after = neuron.step(torch.full((1, 1), 2.0), state)
    assert float(after.membrane) == pytest.approx(0.25 if kept else 2.0, abs=1e-6)
