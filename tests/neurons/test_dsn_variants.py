"""What the variants of the DSN promise beyond their equations: where they start, what they cost, what they refuse."""

import pytest
import torch

from spikescan import InputError
from spikescan.neurons import DenseDSN, InterChannelDSN, LowRankDSN, Neuron, StaticDSN, create_neuron

VARIANTS = [StaticDSN, DenseDSN, LowRankDSN, InterChannelDSN]
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
def test_the_decay_starts_where_it_is_told(variant: type[Neuron]) -> None:
    neuron = variant(3, initial_decay=0.9)
    torch.testing.assert_close(neuron.trace(torch.zeros(1, 1, 3))["decay"], torch.full((1, 1, 3), 0.9))


@every_variant
def test_no_weight_decay_pulls_at_a_gate(variant: type[Neuron]) -> None:
    assert all(parameter.no_weight_decay for parameter in variant(3).parameters())


def test_only_a_gate_over_time_carries_inputs() -> None:
    x_t = torch.ones(2, 3, 5)
    assert len(StaticDSN(3).initial_state(x_t)) == 1
    assert DenseDSN(3).initial_state(x_t).window.shape == (2, 0, 3, 5)
    assert InterChannelDSN(3, kernel_size=3).initial_state(x_t).window.shape == (2, 2, 3, 5)


def test_what_a_step_costs() -> None:
    """Of 64 channels: a row of 64 weights, of 4 times as many, or twice the rank; and two squarings, for tau = 1/4."""
    assert StaticDSN(64).cost()[:2] == (1, 1)
    assert DenseDSN(64).cost()[:2] == (67, 66)
    assert InterChannelDSN(64).cost()[:2] == (259, 258)
    assert LowRankDSN(64, rank=4).cost()[:2] == (11, 10)
    assert InterChannelDSN(64).cost().state_bytes == 16


@every_variant
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_a_decay_of_zero_or_one_stays_finite(variant: type[Neuron], size: float) -> None:
    neuron = variant(3)
    x = torch.full((200, 1, 3), size, requires_grad=True)
    spikes, state = neuron(x)
    (spikes.sum() + state.membrane.sum()).backward()
    assert state.membrane.isfinite().all()
    assert all(tensor.grad.isfinite().all() for tensor in [x, *neuron.parameters()])
    assert (state.membrane.abs() <= 1e4 * (1 + 1e-4)).all()


def test_a_recipe_names_them() -> None:
    neuron = create_neuron("dsn_low_rank", 6, options={"rank": 2, "firing": "binary"})
    assert isinstance(neuron, LowRankDSN)
    assert (neuron.up.shape, neuron.down.shape) == ((6, 2), (2, 6))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: StaticDSN(0), "StaticDSN: channels is 0"),
        (lambda: DenseDSN(3, tau=0.0), "DenseDSN: tau is 0.0"),
        (lambda: LowRankDSN(3, rank=0), "LowRankDSN: rank is 0"),
        (lambda: InterChannelDSN(3, kernel_size=0), "InterChannelDSN: kernel_size is 0"),
        (lambda: DenseDSN(3, initial_decay=1.0), "DenseDSN: initial_decay is 1.0"),
        (lambda: DenseDSN(3)(torch.zeros(4, 2, 5)), r"DenseDSN\(3\) was given \[4, 2, 5\]"),
        (lambda: DenseDSN(3)(torch.zeros(4, 2, 3, dtype=torch.int64)), "DenseDSN: x is torch.int64"),
    ],
)
def test_what_does_not_fit_is_named(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()
