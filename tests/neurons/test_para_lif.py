"""ParaLIF and SPSN: where they start, the gradients of their modes, what is drawn at random and when."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikescan import InputError, ops
from spikescan.firing import Binary, FastSigmoid, Sigmoid
from spikescan.neurons import SPSN, ParaLIF

SAMPLINGS = ("sigmoid_bernoulli", "tanh_relu_bernoulli", "gumbel_softmax")
PROBABILITY = {
    "sigmoid_bernoulli": torch.sigmoid,
    "tanh_relu_bernoulli": lambda v: torch.relu(torch.tanh(v)),
    "gumbel_softmax": lambda v: torch.sigmoid(2.0 * v),
}


@pytest.mark.parametrize("learn_tau", [False, True])
@pytest.mark.parametrize("make", [ParaLIF, SPSN])
def test_it_starts_at_its_time_constants(make: type[ParaLIF | SPSN], learn_tau: bool) -> None:
    neuron = make(2.0, 50.0, learn_tau=learn_tau)
    a, b, gain = (each.item() for each in neuron.coefficients(torch.device("cpu")))
    assert (a, b) == pytest.approx((math.exp(-1 / 2), math.exp(-1 / 50)), rel=1e-6)
    assert gain == pytest.approx(-math.expm1(-1 / 50), rel=1e-6)
    assert len(list(neuron.parameters())) == (2 if learn_tau else 0)
    assert all(parameter.no_weight_decay for parameter in neuron.parameters())


def test_a_time_constant_much_shorter_than_a_step() -> None:
    """The authors' defaults are of a millisecond, in seconds."""
    a, b, gain = ParaLIF(1e-3, 1e-3).coefficients(torch.device("cpu"))
    assert (a, b, gain) == (0.0, 0.0, 1.0)


def test_the_default_threshold_can_be_reached() -> None:
    assert ParaLIF().firing == Binary(1.0, FastSigmoid(100.0))
    assert ParaLIF(normalisation="tanh").firing.threshold == 0.5


def test_the_kernels_have_the_gradients_of_the_reference() -> None:
    torch.manual_seed(0)
    firing = Binary(0.3, Sigmoid())
    neuron = ParaLIF(3.0, 2.0, normalisation="tanh_relu", learn_tau=True, firing=firing).double()
    x = (2.0 * torch.randn(63, 2, 5, dtype=torch.float64)).requires_grad_()
    grad = torch.randn_like(x)
    results = []
    for backend in ("reference", "cpu"):
        with ops.backend(backend):
            spikes, state = neuron(x)
            leaves = [x, *neuron.parameters()]
            results.append((spikes, *state, *torch.autograd.grad([spikes, state.membrane], leaves, [grad, grad[0]])))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def one_step(sampling: str, x: Tensor) -> tuple[SPSN, Tensor, Tensor]:
    """A neuron in training, its spikes after one step, and its membrane."""
    neuron = SPSN(sampling=sampling, generator=torch.Generator().manual_seed(3)).double()
    with ops.backend("reference"):
        spikes, state = neuron(x.view(1, 1, -1))
    return neuron, spikes.flatten(), state.membrane.detach().flatten()


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.5])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_it_fires_with_its_probability(sampling: str, value: float) -> None:
    _, spikes, membrane = one_step(sampling, torch.full((40_000,), value, dtype=torch.float64))
    p = PROBABILITY[sampling](membrane[0]).item()
    assert set(spikes.tolist()) <= {0.0, 1.0}
    assert spikes.mean().item() == pytest.approx(p, abs=4.0 * math.sqrt(p * (1.0 - p) / len(spikes)) + 1e-12)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_gradient_of_what_is_drawn(sampling: str) -> None:
    x = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64).requires_grad_()
    neuron, spikes, membrane = one_step(sampling, x)
    spikes.sum().backward()
    drawn = torch.rand(9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    v = membrane.requires_grad_()
    if sampling == "gumbel_softmax":
        y = torch.sigmoid(2.0 * v + torch.log(drawn / (1.0 - drawn)))
        expected = 2.0 * y * (1.0 - y)
        assert torch.equal(spikes, (y > 0.5).double())
    else:
        p = PROBABILITY[sampling](v)
        (slope,) = torch.autograd.grad(p.sum(), v)
        expected = p * slope
        assert torch.equal(spikes, (drawn < p).double())
    gain = neuron.coefficients(torch.device("cpu"))[2]
    torch.testing.assert_close(x.grad, (gain * expected).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_any_split_of_time_draws_the_same(sampling: str) -> None:
    x = torch.randn(63, 3, 5)
    neuron = SPSN(sampling=sampling)
    torch.manual_seed(7)
    whole, _ = neuron(x)
    torch.manual_seed(7)
    state, pieces = None, []
    for piece in x.split([1, 17, 45]):
        spikes, state = neuron(piece, state)
        pieces.append(spikes)
    assert torch.equal(torch.cat(pieces), whole)


def test_nothing_is_drawn_in_evaluation() -> None:
    x = torch.randn(20, 3, 5)
    neuron = SPSN().eval()
    before = torch.get_rng_state()
    first, _ = neuron(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(neuron(x)[0], first)
    neuron.train()
    assert not torch.equal(neuron(x)[0], first)
    assert neuron.stochastic
    assert not ParaLIF().stochastic


def test_padding_does_not_fire_at_random() -> None:
    spikes, _ = SPSN()(torch.full((9, 2, 5), math.nan), None, torch.tensor([0, 0]))
    assert not spikes.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_drawn_spikes_have_the_dtype_of_the_input(dtype: torch.dtype) -> None:
    spikes, state = SPSN()(torch.randn(5, 2, 3, dtype=dtype))
    assert spikes.dtype == dtype
    assert state.membrane.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ParaLIF(0.0), "ParaLIF: a time constant is 0.0, expected a number above 0"),
        (lambda: SPSN(1.0, -2.0), "SPSN: a time constant is -2.0"),
        (lambda: ParaLIF(mode="D"), "ParaLIF: mode is 'D', expected 'delta' or 'threshold'; SPSN fires at random"),
        (lambda: ParaLIF(normalisation="relu"), "ParaLIF: normalisation is 'relu', expected None, 'sigmoid'"),
        (lambda: SPSN(sampling="SB"), "SPSN: sampling is 'SB', expected 'sigmoid_bernoulli'"),
    ],
)
def test_arguments_out_of_range(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
