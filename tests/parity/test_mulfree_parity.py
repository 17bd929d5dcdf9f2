"""The mul-free PSN against its equations: evaluation, training, statistics, gradients."""

import mulfree_equations as equations
import numpy as np
import pytest
import torch
from torch import Tensor

from spikescan import Binary, MulFreePSN, ops
from spikescan.firing import ATan

T, B, C = 40, 3, 5


@pytest.fixture
def x() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0.3, 1.5, (T, B, C)))


def neuron_for(k: int, dilation: int, threshold: float = 1.0) -> MulFreePSN:
    """In float64, its parameters and running statistics away from where they start."""
    torch.manual_seed(3)
    neuron = MulFreePSN(C, kernel_size=k, dilation=dilation, firing=Binary(threshold, ATan(5.0))).double()
    with torch.no_grad():
        neuron.norm.weight.uniform_(0.5, 2.0)
        neuron.norm.bias += 0.2 * torch.randn(C)
        neuron.norm.running_mean.uniform_(-0.5, 0.5)
        neuron.norm.running_var.uniform_(0.3, 3.0)
    return neuron


def values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().clone().numpy()


def expected_of(neuron: MulFreePSN, x: Tensor, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norm = neuron.norm
    gamma, beta = values(norm.weight), values(norm.bias)
    return equations.spikes(
        values(x), values(neuron.weight), neuron.dilation, gamma, beta, mean, variance, norm.eps
    )  # fmt: skip


def assert_fires(got: Tensor, expected: np.ndarray) -> None:
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_array_equal(got.detach().numpy(), expected)


@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (4, 1), (2, 3), (3, 17)])
def test_evaluation(x: Tensor, k: int, dilation: int) -> None:
    neuron = neuron_for(k, dilation, 0.6).eval()
    norm = neuron.norm
    expected, above = expected_of(neuron, x, values(norm.running_mean), values(norm.running_var))
    assert_fires(neuron(x)[0], expected)
    membrane = neuron.trace(x)["membrane"]
    np.testing.assert_allclose(membrane, above + 0.6, rtol=0, atol=1e-12)
    assert_fires(neuron.firing(membrane), expected)


@pytest.mark.parametrize("lengths", [None, [T, 7, 0], [1, 13, 2]])
@pytest.mark.parametrize(("k", "dilation"), [(4, 1), (2, 3)])
def test_training(x: Tensor, k: int, dilation: int, lengths: list[int] | None) -> None:
    """Statistics of the input's valid steps, and running ones that follow as nn.BatchNorm1d's do."""
    neuron = neuron_for(k, dilation)
    ends = lengths or [T] * B
    before = {name: values(buffer) for name, buffer in neuron.norm.named_buffers()}
    mean, variance, count = equations.statistics(values(x), values(neuron.weight), dilation, ends)
    padded = x.clone()
    for sample, end in enumerate(ends):
        padded[end:, sample] = float("nan")
    got, _ = neuron(padded, None, None if lengths is None else torch.tensor(lengths))
    expected, _ = expected_of(neuron, x, mean, variance)
    for sample, end in enumerate(ends):
        np.testing.assert_array_equal(got[:end, sample].detach(), expected[:end, sample])
        assert not got[end:, sample].any()
    unbiased = variance * count / (count - 1)
    running = values(neuron.norm.running_mean), values(neuron.norm.running_var)
    np.testing.assert_allclose(running[0], 0.9 * before["running_mean"] + 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(running[1], 0.9 * before["running_var"] + 0.1 * unbiased, rtol=1e-12)
    assert int(neuron.norm.num_batches_tracked) == 1


def test_the_statistics_are_those_of_batch_norm(x: Tensor) -> None:
    neuron, norm = neuron_for(3, 2), torch.nn.BatchNorm1d(C).double()
    norm.load_state_dict(neuron.norm.state_dict())
    for momentum in (0.1, None):
        neuron.norm.momentum = norm.momentum = momentum
        neuron(x)
        norm(torch.from_numpy(equations.charge(values(x), values(neuron.weight), 2)).flatten(0, 1))
    for name, expected in norm.state_dict().items():
        torch.testing.assert_close(neuron.norm.state_dict()[name], expected, rtol=1e-12, atol=1e-12, msg=name)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        return torch.from_numpy(equations.quantise(w.detach().numpy()))

    @staticmethod
    def backward(ctx, grad):
        return grad


def filtered(x: Tensor, weight: Tensor, dilation: int, quantise: bool) -> Tensor:
    """The membrane of the training mode in plain torch, through batch_norm of torch; one weight a channel and tap."""
    past = torch.nn.functional.pad(x.permute(1, 2, 0), ((weight.shape[1] - 1) * dilation, 0))
    used = _StraightThrough.apply(weight) if quantise else weight
    return torch.nn.functional.conv1d(past, used.unsqueeze(1), groups=C, dilation=dilation).permute(2, 0, 1)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients_of_the_training_mode(x: Tensor, backend: str) -> None:
    """Those of plain torch's autograd, with the quantiser as a whole straight-through and ATan's derivative at the spikes."""
    neuron = neuron_for(3, 2)
    grad = torch.from_numpy(np.random.default_rng(1).normal(size=x.shape))
    leaves = {"x": x.clone().requires_grad_()} | dict(neuron.named_parameters())
    with ops.backend(backend):
        got = torch.autograd.grad(neuron(leaves["x"])[0], list(leaves.values()), grad)

    others = {name: leaf.detach().clone().requires_grad_() for name, leaf in leaves.items()}
    weight, gamma, beta = others["weight"], others["norm.weight"], others["norm.bias"]
    current = filtered(others["x"], weight, 2, quantise=False)
    variance, mean = torch.var_mean(current, (0, 1), correction=0)
    gain = gamma * (variance + neuron.norm.eps) ** -0.5
    membrane = filtered(others["x"], gain.unsqueeze(1) * weight, 2, quantise=True) + beta - gain * mean
    through = grad * 2.5 / (1.0 + (np.pi * 2.5 * membrane.detach()) ** 2)
    expected = torch.autograd.grad(membrane, list(others.values()), through)
    for name, one, other in zip(leaves, got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 0, 3])])
def test_the_statistics_are_differentiated(x: Tensor, lengths: Tensor | None) -> None:
    """By finite differences of mean and variance, which is all of the training mode but its quantiser and its spikes."""
    neuron = neuron_for(2, 2)

    def measured(x: Tensor, weight: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        neuron.__dict__["weight"] = weight
        return neuron._statistics(x, window, lengths)[:2]

    inputs = (x[:6], neuron.weight.detach(), torch.randn(B, 2, C, dtype=torch.float64))
    del neuron.weight
    assert torch.autograd.gradcheck(measured, tuple(tensor.clone().requires_grad_() for tensor in inputs))
