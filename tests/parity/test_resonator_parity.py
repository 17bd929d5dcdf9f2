"""PRF, S5-RF, ParaLIF and PMSN against the equations that they carry the names of."""

import numpy as np
import pytest
import resonator_equations as equations
import torch
from torch import Tensor

from spikescan import ops
from spikescan.firing import Binary
from spikescan.neurons import PMSN, PRF, S5RF, SPSN, Neuron, ParaLIF

T, C = 60, 5


@pytest.fixture
def x() -> np.ndarray:
    torch.manual_seed(1)
    return np.random.default_rng(0).normal(0.4, 2.0, (T, C))


def run(neuron: Neuron, x: np.ndarray, backend: str = "reference") -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes ``[T, C]`` of a single sample; kernels are compiled for a few of the neurons only."""
    sequence = torch.from_numpy(x).unsqueeze(1)
    with torch.no_grad(), ops.backend(backend):
        spikes, _ = neuron.double().eval()(sequence)
        membrane = neuron.trace(sequence)["membrane"]
    return spikes.squeeze(1).numpy(), membrane.squeeze(1).numpy()


def assert_fires(spikes: np.ndarray, expected: np.ndarray) -> None:
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(spikes, expected)


def values(parameter: Tensor) -> np.ndarray:
    return parameter.detach().double().numpy()


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(("tau", "learn_tau"), [(2.0, False), (100.0, True)])
def test_prf(x: np.ndarray, tau: float, learn_tau: bool, backend: str) -> None:
    neuron = PRF(C, tau=tau, learn_tau=learn_tau, step_range=(0.3, 1.0))
    delta, theta = np.exp(values(neuron.log_step)), np.exp(values(neuron.log_frequency))
    tau = np.exp(-values(neuron.log_rate))
    expected, membranes = equations.prf(x, delta, theta, tau)
    spikes, membrane = run(neuron, x, backend)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("discretisation", ["dirac", "zoh"])
def test_s5_rf(x: np.ndarray, discretisation: str) -> None:
    neuron = S5RF(C, discretisation=discretisation, step_range=(0.1, 0.5))
    with torch.no_grad():
        neuron.log_rate += 0.3 * torch.randn(C)
    raw = values(neuron.log_rate), values(neuron.frequency), np.exp(values(neuron.log_step))
    expected, membranes = equations.s5_rf(2.0 * x, *raw, held=discretisation == "zoh")
    spikes, membrane = run(neuron, 2.0 * x)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("block_size", [1, 3, 4])
def test_s5_rf_starts_at_the_eigenvalues_of_its_blocks(block_size: int) -> None:
    neuron = S5RF(7, block_size=block_size)
    eigenvalues = equations.legs_eigenvalues(2 * block_size)
    np.testing.assert_allclose(eigenvalues.real, -np.exp(values(neuron.log_rate))[0], rtol=1e-6)
    positive = np.sort(eigenvalues.imag)[block_size:]
    np.testing.assert_allclose(values(neuron.frequency), np.resize(positive, 7), rtol=1e-6)


@pytest.mark.parametrize("normalisation", equations.NORMALISATIONS)
@pytest.mark.parametrize("mode", ["delta", "threshold"])
def test_para_lif(x: np.ndarray, mode: str, normalisation: str | None) -> None:
    neuron = ParaLIF(3.0, 2.0, mode=mode, normalisation=normalisation, firing=Binary(0.3))
    assert_para_lif(neuron, x, mode, normalisation, 0.3)


@pytest.mark.parametrize(
    ("sampling", "threshold"),
    [("sigmoid_bernoulli", 0.0), ("tanh_relu_bernoulli", np.arctanh(0.5)), ("gumbel_softmax", 0.0)],
)
def test_spsn_in_evaluation_fires_where_it_is_likely_to(x: np.ndarray, sampling: str, threshold: float) -> None:
    assert_para_lif(SPSN(3.0, 2.0, sampling=sampling), x - 0.4, "threshold", None, threshold)


def assert_para_lif(neuron: Neuron, x: np.ndarray, mode: str, normalisation: str | None, threshold: float) -> None:
    a, b, _ = neuron.double().coefficients(torch.device("cpu"))
    assert (a.item(), b.item()) == pytest.approx((np.exp(-1 / 3), np.exp(-1 / 2)), rel=1e-6)
    expected, membranes = equations.para_lif(x, a.item(), b.item(), mode, normalisation, threshold)
    spikes, membrane = run(neuron, x)
    assert_fires(spikes, expected)
    np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-12)


def pmsn_parameters(neuron: PMSN) -> tuple[np.ndarray, ...]:
    a = -np.exp(values(neuron.log_rate)) + 1j * values(neuron.frequency)
    b = values(neuron.input_real) + 1j * values(neuron.input_imaginary)
    c = values(neuron.output_real) + 1j * values(neuron.output_imaginary)
    return a, b, c, values(neuron.skip), np.exp(values(neuron.log_step))


@pytest.mark.parametrize(
    ("compartments", "threshold", "scale", "backend"), [(4, 1.0, 1.0, "cpu"), (1, 0.7, 0.2, "reference")]
)
def test_pmsn(x: np.ndarray, compartments: int, threshold: float, scale: float, backend: str) -> None:
    """The charge that is left over gives the spikes of the running sum."""
    neuron = PMSN(C, compartments=compartments, current_scale=scale, firing=Binary(threshold))
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    current = equations.pmsn_current(x, *pmsn_parameters(neuron), scale)
    spikes, _ = run(neuron, x, backend)
    assert_fires(spikes, equations.pmsn_spikes(current, threshold))
    np.testing.assert_array_equal(spikes, equations.integrate_and_fire(current, threshold))


@pytest.mark.parametrize("compartments", [2, 4, 5])
def test_pmsn_starts_as_a_chain_of_compartments(compartments: int) -> None:
    """In their own basis: input into all of them, output from the last, neighbours coupled by 5 (j + 1)."""
    a, b, c, _, dt = pmsn_parameters(PMSN(3, compartments=compartments))
    chain = -0.5 * np.eye(compartments)
    for j in range(compartments - 1):
        chain[j, j + 1], chain[j + 1, j] = 5.0 * (j + 1), -5.0 * (j + 1)
    power = np.eye(compartments)
    for t in range(6):  # C A^t B does not depend on the basis
        expected = power[-1].sum()
        np.testing.assert_allclose((c * a**t * b).sum(1), expected, rtol=1e-5, atol=1e-5 * max(1.0, abs(expected)))
        power = power @ chain
    assert ((dt >= 1e-3) & (dt <= 1e-1)).all()


def test_the_charge_left_over_keeps_its_digits_over_time() -> None:
    """A sum in float32 does not: beyond 4096 it knows 2^-11, where the charge is exact for a current in units of 2^-22."""
    current = np.full((8192, 1), round(0.618034 * 2.0**22) * 2.0**-22)
    exact = equations.pmsn_spikes(current, 1.0)
    neuron = PMSN(1)
    with torch.no_grad():
        neuron.skip.fill_(1.0)
        neuron.output_real.zero_()
        neuron.output_imaginary.zero_()
        spikes, _ = neuron(torch.from_numpy(current).float().unsqueeze(1))
    np.testing.assert_array_equal(spikes.squeeze(1).numpy(), exact)
    assert (equations.pmsn_spikes(current.astype(np.float32), 1.0) != exact).any()


def test_a_parallel_reset_is_one_only_for_current_that_is_not_negative() -> None:
    """Else the sum crosses a multiple of the threshold again that it had crossed before."""
    current = np.array([[1.2], [-0.3], [0.2]])
    np.testing.assert_array_equal(equations.integrate_and_fire(current, 1.0).ravel(), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(equations.pmsn_spikes(current, 1.0).ravel(), [1.0, 0.0, 1.0])
    current = np.random.default_rng(0).normal(0.2, 0.5, (200, 50))
    assert (equations.integrate_and_fire(current, 1.0) != equations.pmsn_spikes(current, 1.0)).any()
    current = np.maximum(current, 0.0)
    np.testing.assert_array_equal(equations.integrate_and_fire(current, 1.0), equations.pmsn_spikes(current, 1.0))
