"""The parallel spiking neuron and its causal relatives: where they start, what masks them, what they refuse."""

import math
from collections.abc import Iterator

import pytest
import torch

from spikescan import InputError
from spikescan.firing import Binary, Integer
from spikescan.layers import Residual, Sequential
from spikescan.neurons import PSN, MaskedPSN, SlidingPSN, follow_training


@pytest.mark.parametrize("neuron", [PSN(64), MaskedPSN(64, 8)], ids=["PSN", "MaskedPSN"])
def test_initial_values(neuron: PSN | MaskedPSN) -> None:
    """W uniform within +-1 / sqrt(T), threshold 1."""
    weight = neuron.weight.detach()
    assert weight.shape == (64, 64)
    assert weight.abs().max() <= 1.0 / 8.0
    assert float(weight.std()) == pytest.approx(1.0 / (8.0 * math.sqrt(3.0)), rel=0.05)
    assert torch.equal(neuron.bias.detach(), -torch.ones(64))


def test_initial_values_of_the_sliding_filter() -> None:
    neuron = SlidingPSN(4)
    assert torch.equal(neuron.weight.detach(), torch.tensor([0.125, 0.25, 0.5, 1.0]))  # newest last
    assert torch.equal(neuron.bias.detach(), torch.tensor(-1.0))
    uniform = SlidingPSN(10_000, exponential=False).weight.detach()
    assert uniform.abs().max() <= 0.01
    assert float(uniform.std()) == pytest.approx(0.01 / math.sqrt(3.0), rel=0.05)


def test_the_learnt_threshold_starts_at_that_of_the_firing() -> None:
    assert torch.equal(PSN(3, firing=Binary(0.5)).bias.detach(), torch.full((3,), -0.5))
    assert torch.equal(SlidingPSN(3, firing=Integer(2)).bias.detach(), torch.tensor(0.0))


def test_a_mask_is_annealed_from_all_inputs_to_the_last() -> None:
    neuron = MaskedPSN(6, 2, mask_weight=0.0)
    weight = neuron.weight.detach()
    assert torch.equal(neuron.masked_weight(), weight)
    neuron.mask_weight = 0.25
    age = torch.arange(6).unsqueeze(1) - torch.arange(6)
    within = (age >= 0) & (age < 2)
    torch.testing.assert_close(neuron.masked_weight(), torch.where(within, weight, 0.75 * weight))
    neuron.mask_weight = 1.0
    assert torch.equal(neuron.masked_weight(), torch.where(within, weight, 0.0))


def test_an_unmasked_neuron_is_psn() -> None:
    masked, psn = MaskedPSN(6, 2, mask_weight=0.0), PSN(6)
    psn.load_state_dict(masked.state_dict())
    x = 3.0 * torch.randn(6, 2, 3)
    assert torch.equal(masked(x)[0], psn(x)[0])


@pytest.mark.parametrize("mask_weight", [0.0, 0.99])
def test_an_annealed_neuron_does_not_stream(mask_weight: float) -> None:
    neuron = MaskedPSN(6, 2, mask_weight=mask_weight)
    with pytest.raises(InputError, match=rf"mask_weight {mask_weight}.*Set mask_weight = 1.0"):
        neuron.step(torch.zeros(1, 3))


def test_psn_names_its_causal_relatives() -> None:
    with pytest.raises(InputError, match=r"not causal.*MaskedPSN.*SlidingPSN.*DSN"):
        PSN(6).step(torch.zeros(1, 3))


@pytest.mark.parametrize("steps", [5, 7])
def test_psn_belongs_to_its_number_of_steps(steps: int) -> None:
    with pytest.raises(InputError, match=rf"PSN\(6\) was given {steps} time steps.*T = 6.*SlidingPSN"):
        PSN(6)(torch.zeros(steps, 1, 3))


def test_an_annealed_mask_follows_training_and_is_whole_elsewhere() -> None:
    neuron, masked, psn = MaskedPSN(6, 2, anneal=0.25), MaskedPSN(6, 2), PSN(6)
    masked.load_state_dict(neuron.state_dict())
    psn.load_state_dict(neuron.state_dict())
    x = torch.randn(6, 4, 3)
    as_masked, as_psn = masked(x)[0], psn(x)[0]
    assert torch.equal(neuron(x)[0], as_masked)  # nobody trains it
    for passed, mask_weight in ((0.0, 0.0), (0.125, 0.5), (0.25, 1.0), (0.9, 1.0), (0.05, 0.2)):
        follow_training(Sequential(neuron, Residual(neuron)), passed)
        assert neuron.mask_weight == pytest.approx(mask_weight)
        neuron.eval()
        assert torch.equal(neuron(x)[0], as_masked)
        assert torch.equal(torch.stack(list(_stepwise(neuron, x))), as_masked)
        neuron.train()
    with pytest.raises(InputError, match=r"mask_weight 0.2, so it is not causal.*Call eval\(\) first"):
        neuron.step(x[0])
    follow_training(neuron, 0.0)
    assert torch.equal(neuron(x)[0], as_psn)


def _stepwise(neuron: MaskedPSN, x: torch.Tensor) -> Iterator[torch.Tensor]:
    state = None
    for x_t in x:
        y_t, state = neuron.step(x_t, state)
        yield y_t


def test_masked_psn_ends_with_its_matrix() -> None:
    neuron = MaskedPSN(6, 2)
    with pytest.raises(InputError, match=r"MaskedPSN\(6, 2\).* 7.* 6.*SlidingPSN"):
        neuron(torch.zeros(7, 1, 3))
    _, state = neuron(torch.zeros(5, 1, 3))
    _, state = neuron.step(torch.zeros(1, 3), state)
    with pytest.raises(InputError, match=r"MaskedPSN\(6, 2\) has seen 6.*ends at 6.*SlidingPSN"):
        neuron.step(torch.zeros(1, 3), state)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PSN(0), "time_steps is 0, expected at least 1"),
        (lambda: MaskedPSN(6, 0), "order is 0, expected 1 to time_steps = 6"),
        (lambda: MaskedPSN(6, 7), "order is 7, expected 1 to time_steps = 6"),
        (lambda: MaskedPSN(6, 2, mask_weight=1.5), "mask_weight is 1.5, expected 0 to 1"),
        (lambda: MaskedPSN(6, 2, anneal=0.0), "anneal is 0.0, expected a fraction of training above 0"),
        (lambda: MaskedPSN(6, 2, anneal=0.1, mask_weight=0.5), "mask_weight is 0.5, but anneal=0.1 sets it"),
        (lambda: SlidingPSN(0), "order is 0, expected at least 1"),
    ],
)
def test_arguments_out_of_range(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
