"""The parallel forms of a reset against the sequential neuron, and against what their papers print."""

import numpy as np
import parallel_reset_equations as equations
import pytest
import torch

from spikescan.firing import ATan, Binary, Integer
from spikescan.neurons import IF, LIF
from spikescan.neurons.parallel_reset import decoupled_spikes, fixed_point_spikes, speculative_spikes

T, C = 300, 4
DECAYS = (0.25, 0.5, 0.9, 0.99, 1.0)
SOFT = ("decoupled", "fixed_point", "speculative")


@pytest.fixture
def c() -> np.ndarray:
    return np.random.default_rng(0).normal(0.3, 1.0, (T, C))


def neuron(b: float, firing: Binary | Integer, **options: object) -> LIF | IF:
    """The drive is its input."""
    if b == 1.0:
        return IF(firing=firing, **options)
    return LIF(1.0 / (1.0 - b), scale_input=False, firing=firing, **options)


def spikes(b: float, c: np.ndarray, firing: Binary | Integer, **options: object) -> np.ndarray:
    with torch.no_grad():
        return neuron(b, firing, **options)(torch.from_numpy(c).unsqueeze(1))[0].squeeze(1).numpy()


@pytest.mark.parametrize("method", SOFT)
@pytest.mark.parametrize("b", DECAYS)
@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_soft_reset(c: np.ndarray, b: float, threshold: float, method: str) -> None:
    expected, _ = equations.soft_reset(c, b, threshold)
    assert 0.02 < expected.mean() < 0.7
    np.testing.assert_array_equal(spikes(b, c, Binary(threshold), method=method), expected)


@pytest.mark.parametrize("method", SOFT)
def test_integer_spikes_are_taken_off_alike(c: np.ndarray, method: str) -> None:
    expected, _ = equations.soft_reset(2 * c, 0.8, 1.0, levels=4)
    assert expected.max() > 1
    np.testing.assert_array_equal(spikes(0.8, 2 * c, Integer(4), method=method), expected)


@pytest.mark.parametrize("b", DECAYS)
def test_hard_reset(c: np.ndarray, b: float) -> None:
    expected, _ = equations.hard_reset(c, b, 0.7)
    np.testing.assert_array_equal(spikes(b, c, Binary(0.7), reset="hard", method="speculative"), expected)


@pytest.mark.parametrize("b", DECAYS)
def test_the_printed_forms_of_the_decoupled_reset(c: np.ndarray, b: float) -> None:
    """Algorithm 2 of the appendix is exact; equations 7 to 11 only without a leak: their threshold never comes down."""
    expected, _ = equations.soft_reset(c, b, 1.0)
    np.testing.assert_array_equal(equations.algorithm_2(c, b, 1.0), expected)
    wrong = (equations.equations_7_to_11(c, b, 1.0) != expected).mean()
    assert wrong == 0.0 if b == 1.0 else wrong > 0.5 * expected.mean()


@pytest.mark.parametrize("iterations", [1, 2, 3, 7])
def test_iterations_of_the_fixed_point(c: np.ndarray, iterations: int) -> None:
    drive = torch.from_numpy(c).unsqueeze(1)
    decay, rest = torch.full((C,), 0.9, dtype=torch.float64), torch.zeros(1, C, dtype=torch.float64)
    found = fixed_point_spikes(drive, decay, rest, firing=Binary().spec, iterations=iterations)
    expected = equations.fixed_point(c, 0.9, 1.0, iterations)
    np.testing.assert_array_equal(found.spikes.squeeze(1), expected)
    changed = (expected != equations.fixed_point(c, 0.9, 1.0, iterations - 1)).sum(0)
    np.testing.assert_array_equal(found.unsettled.squeeze(0), changed)
    # Iteration j leaves the first j + 1 steps right.
    sequential, membrane = equations.soft_reset(c, 0.9, 1.0)
    np.testing.assert_array_equal(expected[: iterations + 1], sequential[: iterations + 1])
    solved = fixed_point_spikes(drive, decay, rest, firing=Binary().spec)
    assert int(solved.unsettled.sum()) == 0
    assert iterations < int(solved.iterations.max()) < T
    np.testing.assert_array_equal(solved.spikes.squeeze(1), sequential)
    np.testing.assert_allclose(solved.membrane.squeeze(1), membrane, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 128, 1000])
def test_chunks_of_the_speculation(c: np.ndarray, chunk: int) -> None:
    drive = torch.from_numpy(c).unsqueeze(1)
    decay, rest = torch.full((C,), 0.9, dtype=torch.float64), torch.zeros(1, C, dtype=torch.float64)
    found = speculative_spikes(drive, decay, rest, firing=Binary().spec, chunk=chunk)
    expected, membrane = equations.hard_reset(c, 0.9, 1.0)
    np.testing.assert_array_equal(found.spikes.squeeze(1), expected)
    np.testing.assert_allclose(found.membrane.squeeze(1), membrane, rtol=0, atol=1e-12)
    assert bool((found.rounds <= found.spikes.sum(0) + -(-T // chunk)).all())


def test_the_potential_by_fourier_transforms(c: np.ndarray) -> None:
    drive = torch.from_numpy(c).unsqueeze(1)
    decay, rest = torch.full((C,), 0.9, dtype=torch.float64), torch.zeros(1, C, dtype=torch.float64)
    gain = torch.ones_like(decay)
    found, _ = decoupled_spikes(drive, decay, gain, rest, firing=Binary().spec, potential="fft")
    np.testing.assert_array_equal(found.squeeze(1), equations.soft_reset(c, 0.9, 1.0)[0])


@pytest.mark.parametrize(
    ("reset", "method"),
    [*(("soft", method) for method in ("sweep", *SOFT)), ("hard", "sweep"), ("hard", "speculative")],
)
@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("b", [0.5, 0.9, 0.99])
def test_gradients(c: np.ndarray, b: float, detached: bool, reset: str, method: str) -> None:
    """Back through time with the reset detached, or all of it."""
    c = c[:100]  # slopes of a surrogate through the reset may multiply up over time
    grad = np.random.default_rng(1).normal(size=c.shape)
    drive = torch.from_numpy(c).unsqueeze(1).requires_grad_()
    module = neuron(b, Binary(1.0, ATan(2.0)), reset=reset, detach_reset=detached, method=method)
    module(drive)[0].backward(torch.from_numpy(grad).unsqueeze(1))
    expected = equations.gradient(grad, c, b, 1.0, 2.0, hard=reset == "hard", detached=detached)
    error = np.abs(drive.grad.squeeze(1).numpy() - expected).max() / np.abs(expected).max()
    assert error < 1e-12
