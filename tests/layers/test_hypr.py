"""Hybrid propagation: the gradient of backpropagation through time where it is exact, that of e-prop where it is not."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikescan import (
    DSN,
    GLIF,
    HYPR,
    IF,
    KLIF,
    LIF,
    PMSN,
    PRF,
    Binary,
    Cost,
    DenseDSN,
    InputError,
    Neuron,
    ParaLIF,
    ParametricLIF,
    Recurrent,
    ops,
)
from spikescan.layers import Sequential
from spikescan.layers.hypr import HYPRState
from spikescan.neurons.base import State, Temporal, at_rest, map_state
from spikescan.neurons.padding import at_last_valid, zero_padding

T, B, INPUTS, C = 60, 3, 4, 6


class AdaptiveState(NamedTuple):
    membrane: Tensor
    adaptation: Tensor


class AdaptiveLIF(Neuron):
    """A neuron of two numbers that move each other, its reset and adaptation with gradients."""

    firing = Binary()

    def initial_state(self, x_t: Tensor) -> AdaptiveState:
        return AdaptiveState(at_rest(x_t), at_rest(x_t))

    def forward(
        self, x: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, AdaptiveState]:
        first = membrane, adaptation = self.initial_state(x.new_empty(x.shape[1:])) if state is None else state
        spikes, membranes, adaptations = [], [], []
        for x_t in x.unbind(0):
            charged = 0.8 * membrane + 0.2 * (x_t - 0.5 * adaptation)
            fired = ops.fire(charged - 0.3 * adaptation, self.firing.spec)
            membrane, adaptation = charged - fired, 0.9 * adaptation + 0.1 * charged + 0.4 * fired
            spikes.append(fired)
            membranes.append(membrane)
            adaptations.append(adaptation)
        last = [
            at_last_valid(torch.stack(one), at_start, lengths)
            for one, at_start in zip((membranes, adaptations), first, strict=True)
        ]
        return zero_padding(torch.stack(spikes), lengths), AdaptiveState(*last)

    def cost(self) -> Cost:
        return Cost()

    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        return {}


NEURONS: dict[str, Callable[[], Neuron]] = {
    "soft": lambda: LIF(5.0),
    "soft, not detached": lambda: LIF(5.0, detach_reset=False),
    "hard": lambda: LIF(5.0, reset="hard"),
    "hard, not detached": lambda: LIF(5.0, reset="hard", detach_reset=False),
    "no reset": lambda: LIF(5.0, reset=None),
    "no leak": lambda: IF(),
    "two numbers": AdaptiveLIF,
    "window of inputs": lambda: DSN(C, firing=Binary()).requires_grad_(False),
}
# With parameters of their own: shared by all channels, of each channel, of each step, in one number or in many.
LEARNING: dict[str, Callable[[], Neuron]] = {
    "leak": lambda: ParametricLIF(5.0, reset="hard", detach_reset=False),
    "slope": lambda: KLIF(5.0),
    "resonance": lambda: PRF(C, learn_tau=True),
    "current": lambda: ParaLIF(3.0, 5.0, mode="threshold", learn_tau=True),
    "compartments": lambda: PMSN(C, compartments=2),
    "gates": lambda: GLIF(C, T),
}
every_neuron = pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS.keys())
CHUNKS = [[1] * T, [7] * 8 + [4], [13, 1, 0, 46], [T]]
any_chunks = pytest.mark.parametrize("chunks", CHUNKS, ids=["1", "7", "uneven", "T"])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def normal(*shape: int) -> Tensor:
    return 3.0 * torch.randn(shape, dtype=torch.float64)


def layer_of(neuron: Neuron, inputs: int = INPUTS, *, lateral: bool = False) -> Recurrent:
    layer = Recurrent(inputs, C, neuron, lateral=lateral).double()
    with torch.no_grad():
        for parameter in layer.linear.parameters():
            parameter *= 3.0
    return layer


def trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def gradients(
    model: Temporal, x: Tensor, loss: Callable[[Tensor, Tensor], Tensor], target: Tensor, chunks: list[int]
) -> dict[str, Tensor]:
    """Summed over the chunks, each with the loss of its own outputs; plain backpropagation is a single chunk."""
    named = trained(model)
    total = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    state = None
    for part, wanted in zip(x.split(chunks), target.split(chunks), strict=True):
        y, state = model(part, state)
        found = torch.autograd.grad(loss(y, wanted), list(named.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(named, found, strict=True):
            total[name] += gradient
    return total


def weighted(y: Tensor, grad: Tensor) -> Tensor:
    """A loss at every step whose derivative by the spikes is `grad`."""
    return (y * grad).sum()


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], prefix: str = "") -> None:
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, f"{name} has no gradient"
        torch.testing.assert_close(found[prefix + name], gradient, rtol=1e-10, atol=1e-11, msg=lambda m: f"{name}: {m}")  # noqa: B023


def cosine(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    one, other = (torch.cat([gradient.flatten() for gradient in each.values()]) for each in (found, expected))
    return float(F.cosine_similarity(one, other, dim=0))


@every_neuron
@any_chunks
def test_without_lateral_weights_it_is_backpropagation_through_time(
    neuron: Callable[[], Neuron], chunks: list[int]
) -> None:
    if neuron is AdaptiveLIF and 0 in chunks:
        chunks = [13, 1, 46]  # a test's neuron, which takes no empty sequence
    layer, x, grad = layer_of(neuron()), normal(T, B, INPUTS), normal(T, B, C)
    expected = gradients(layer, x, weighted, grad, [T])
    assert_same(gradients(HYPR(layer), x, weighted, grad, chunks), expected, "layer.")


def without_feedback(layer: Recurrent, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Backpropagation through all steps, but not through the spikes that V is given."""
    carried, spikes = layer.initial_state(x[0])
    assert layer.lateral is not None
    total = x.new_zeros(())
    for x_t, grad_t in zip(x.unbind(0), grad.unbind(0), strict=True):
        spikes, carried = layer.neuron.step(layer.linear(x_t) + layer.lateral(spikes.detach()), carried)
        total = total + weighted(spikes, grad_t)
    named = trained(layer)
    return dict(zip(named, torch.autograd.grad(total, list(named.values())), strict=True))


@pytest.mark.parametrize("lateral", [False, True])
@pytest.mark.parametrize("neuron", LEARNING.values(), ids=LEARNING.keys())
def test_a_neurons_own_parameters_are_trained_alike(neuron: Callable[[], Neuron], lateral: bool) -> None:
    steps, chunks = 30, [13, 1, 0, 16]
    layer, x, grad = layer_of(neuron(), lateral=lateral), normal(steps, B, INPUTS), normal(steps, B, C)
    with ops.backend("reference"):  # the cells have laws of their own; kernels would have to be compiled for each
        expected = without_feedback(layer, x, grad) if lateral else gradients(layer, x, weighted, grad, [steps])
        assert any(name.startswith("neuron.") for name in expected)
        assert_same(gradients(HYPR(layer), x, weighted, grad, chunks), expected, "layer.")


@any_chunks
def test_kernels_train_a_neurons_own_parameters(chunks: list[int]) -> None:
    layer, x, grad = layer_of(LEARNING["leak"]()), normal(T, B, INPUTS), normal(T, B, C)
    assert_same(gradients(HYPR(layer), x, weighted, grad, chunks), gradients(layer, x, weighted, grad, [T]), "layer.")


def test_a_frozen_neuron_is_none_that_learns() -> None:
    layer, x, grad = layer_of(LEARNING["leak"](), lateral=True), normal(T, B, INPUTS), normal(T, B, C)
    expected = gradients(HYPR(layer), x, weighted, grad, [20, 40])
    layer.neuron.requires_grad_(False)
    found = gradients(HYPR(layer), x, weighted, grad, [20, 40])
    assert set(expected) - set(found) == {"layer.neuron.weight"}
    assert_same(found, {name: expected[name] for name in found})


@any_chunks
def test_with_a_readout_and_a_loss_at_every_step(chunks: list[int]) -> None:
    layer, head = layer_of(LIF(5.0)), nn.Linear(C, 2).double()
    x, target = normal(T, B, INPUTS), normal(T, B, 2)

    def squared(y: Tensor, wanted: Tensor) -> Tensor:
        return (y - wanted).square().sum()

    expected = gradients(Sequential(layer, head), x, squared, target, [T])
    found = gradients(Sequential(HYPR(layer), head), x, squared, target, chunks)
    assert_same({name.replace("0.layer", "0"): gradient for name, gradient in found.items()}, expected)


@pytest.mark.parametrize("neuron", (NEURONS | {"leak": LEARNING["leak"]}).values(), ids=[*NEURONS, "leak"])
def test_padding(neuron: Callable[[], Neuron]) -> None:
    """Each sample owes what it would owe alone, also where its chunk ends early or never begins."""
    hypr, x, grad = HYPR(layer_of(neuron(), lateral=True)), normal(T, B, INPUTS), normal(T, B, C)
    first, then = torch.tensor([20, 11, 0]), torch.tensor([40, 0, 17])
    x[11:20, 1] = float("nan")
    y, state = hypr(x[:20], None, first)
    y_then, state = hypr(x[20:], state, then)
    whole = {name: torch.zeros_like(parameter) for name, parameter in trained(hypr).items()}
    for sample in range(B):
        chunks = [20] * (sample == 0) + [11] * (sample == 1) + [40] * (sample == 0) + [17] * (sample == 2)
        steps = [*range(first[sample]), *range(20, 20 + then[sample])]
        alone = gradients(hypr, x[steps, sample : sample + 1], weighted, grad[steps, sample : sample + 1], chunks)
        whole = {name: gradient + alone[name] for name, gradient in whole.items()}
        its_state = hypr(x[steps, sample : sample + 1])[1]
        torch.testing.assert_close(state.eligibility[sample : sample + 1], its_state.eligibility, rtol=1e-9, atol=1e-12)
    parameters = trained(hypr)
    found = [
        torch.autograd.grad(weighted(out, grad[begin : begin + len(out)]), list(parameters.values()))
        for begin, out in ((0, y), (20, y_then))
    ]
    assert_same({name: one + other for name, one, other in zip(parameters, *found, strict=True)}, whole)


@every_neuron
@pytest.mark.parametrize("lateral", [True, False])
def test_spikes_and_state_are_those_of_the_layer(neuron: Callable[[], Neuron], lateral: bool) -> None:
    """To the bit, call by call."""
    layer = layer_of(neuron(), lateral=lateral).float()
    hypr, x = HYPR(layer), normal(T, B, INPUTS).float()
    state = own = None
    for part in x.split(25):
        y, state = hypr(part, state)
        expected, own = layer(part, own)
        assert 0 < y.count_nonzero() < y.numel()
        assert torch.equal(y, expected)
        assert torch.equal(state.layer.spikes, own.spikes)
        assert all(torch.equal(one, other) for one, other in zip(state.layer.neuron, own.neuron, strict=True))


def test_chunks_do_not_change_the_gradient_with_lateral_weights() -> None:
    hypr, x, grad = HYPR(layer_of(LIF(5.0), lateral=True)), normal(T, B, INPUTS), normal(T, B, C)
    whole = gradients(hypr, x, weighted, grad, [T])
    for chunks in CHUNKS[:-1]:
        assert_same(gradients(hypr, x, weighted, grad, chunks), whole)


def test_with_lateral_weights_it_is_close_to_backpropagation() -> None:
    """0.992 on this seed; what it leaves out passes through V."""
    layer, x, grad = layer_of(LIF(5.0), lateral=True), normal(T, B, INPUTS), normal(T, B, C)
    expected = gradients(layer, x, weighted, grad, [T])
    agreement = cosine(gradients(HYPR(layer), x, weighted, grad, [10] * 6), expected)
    assert 0.98 < agreement < 0.999


def test_of_two_layers_the_lower_is_exact_in_one_chunk_only() -> None:
    """The state of the upper layer carries what the lower one did; chunks of one step leave that out, one chunk nothing."""
    lower, upper = layer_of(LIF(5.0)), layer_of(LIF(5.0), C)
    x, grad = normal(T, B, INPUTS), normal(T, B, C)
    expected = gradients(Sequential(lower, upper), x, weighted, grad, [T])
    online = Sequential(HYPR(lower), HYPR(upper))
    stepwise, in_chunks, whole = (gradients(online, x, weighted, grad, [size] * (T // size)) for size in (1, 20, T))
    as_online = {name.replace(".", ".layer.", 1): gradient for name, gradient in expected.items()}
    assert_same(whole, as_online)
    of_upper = {name: gradient for name, gradient in as_online.items() if name[0] == "1"}
    assert_same(stepwise, of_upper)
    assert_same(in_chunks, of_upper)
    assert 0.8 < cosine(stepwise, as_online) < 0.99


def test_what_is_carried_has_no_graph_and_one_size() -> None:
    hypr = HYPR(layer_of(LIF(5.0), lateral=True))
    sizes = set()
    for steps in (1, 50, 200):
        _, state = hypr(normal(steps, B, INPUTS))
        flags: list[bool] = []
        map_state(lambda tensor: flags.append(tensor.requires_grad) or tensor, state)  # noqa: B023 (called at once)
        assert not any(flags)
        sizes.add(tuple(state.eligibility.shape))
    assert sizes == {(B, 1, C, INPUTS + C + 1)}


def test_without_gradients_it_runs_and_keeps_count() -> None:
    hypr, x = HYPR(layer_of(LIF(5.0), lateral=True)), normal(T, B, INPUTS)
    _, expected = hypr(x)
    with torch.no_grad():
        y, state = hypr(x)
    assert not y.requires_grad
    assert torch.equal(state.eligibility, expected.eligibility)


def test_frozen_weights_pass_the_gradient_on() -> None:
    """And parameters, once trained, are those of the layer."""
    layer, x = layer_of(LIF(5.0)), normal(T, B, INPUTS).requires_grad_()
    y, _ = HYPR(layer.requires_grad_(False))(x)
    (expected,) = torch.autograd.grad(layer(x)[0].sum(), x)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], expected, rtol=1e-10, atol=1e-12)


def test_autocast() -> None:
    layer = Recurrent(INPUTS, C, LIF(), lateral=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = HYPR(layer)(normal(T, B, INPUTS).float())
    assert state.eligibility.dtype == torch.float32
    y.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


class Noisy(AdaptiveLIF):
    stochastic = True


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: HYPR(Recurrent(2, 3, DenseDSN(3))), "DenseDSN mixes channels"),
        (lambda: HYPR(Recurrent(2, 3, Noisy())), "Noisy draws random numbers"),
        (lambda: HYPR(Recurrent(2, 3, DSN(3))), "but not DSN's weight, bias; call layer.neuron.requires"),
        (lambda: HYPR(Recurrent(2, 3, LIF()))(torch.zeros(5, 1, 4)), "expected .* with C = 2"),
        (lambda: HYPR(Recurrent(2, 3, LIF()))(torch.zeros(5, 1, 2), (1, 2)), "its own is HYPRState"),
        (
            lambda: HYPR(Recurrent(2, 3, LIF()))(
                torch.zeros(5, 1, 2), HYPRState(Recurrent(2, 3, LIF()).initial_state(torch.zeros(1, 2)), torch.zeros(1))
            ),
            r"state.eligibility is \[1\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()
