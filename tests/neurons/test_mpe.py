"""MPEPSN: what it draws and when, its auxiliary loss, what it refuses."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from spikescan import Cost, InputError, auxiliary_losses
from spikescan.firing import Integer
from spikescan.layers import Sequential
from spikescan.neurons import DSN, MPEPSN


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def drawing(seed: int = 5, **options: object) -> MPEPSN:
    return MPEPSN(generator=torch.Generator().manual_seed(seed), **options)


def estimates(neuron: MPEPSN, x: torch.Tensor) -> torch.Tensor:
    return neuron.trace(x)["estimate"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("pieces", [[100], [0, 1, 2, 97], [63, 37], [1] * 100])
def test_any_split_of_time_draws_the_same(pieces: list[int], dtype: torch.dtype) -> None:
    x = 2.0 * torch.randn(100, 3, 17).to(dtype)
    whole, end = drawing()(x)
    neuron, state, outputs = drawing(), None, []
    for piece in x.split(pieces):
        y, state = neuron(piece, state)
        outputs.append(y)
    assert torch.equal(torch.cat(outputs), whole)
    assert torch.equal(state.estimate, end.estimate)


def test_the_seed_decides() -> None:
    x = torch.randn(50, 2, 3)
    assert torch.equal(drawing(1)(x)[1].estimate, drawing(1)(x)[1].estimate)
    assert not torch.equal(estimates(drawing(1), x), estimates(drawing(2), x))
    torch.manual_seed(7)
    first = estimates(MPEPSN(), x)
    torch.manual_seed(7)
    assert torch.equal(estimates(MPEPSN(), x), first)


def test_the_order_of_the_draws_is_not_that_of_memory() -> None:
    x = torch.randn(2, 50, 3).transpose(0, 1)
    assert torch.equal(estimates(drawing(), x), estimates(drawing(), x.contiguous()))


def test_draws_have_their_probability() -> None:
    """And evaluation has their mean."""
    x = torch.full((1, 1, 200_000), 0.7)
    kept = estimates(drawing(), x) / x
    assert torch.equal(kept.unique(), torch.tensor([0.0, 1.0]))
    mean = 1.0 - 1.0 / (1.0 + math.exp(-0.7))
    assert float(kept.mean()) == pytest.approx(mean, abs=5e-3)
    torch.testing.assert_close(estimates(drawing().eval(), x), torch.full_like(x, 0.7 * mean))


def test_evaluation_draws_nothing() -> None:
    neuron = drawing().eval()
    before = neuron.generator.get_state()
    neuron(torch.randn(5, 2, 3))
    assert torch.equal(neuron.generator.get_state(), before)


def test_the_memory_is_of_two_steps() -> None:
    x = torch.randn(9, 1, 3).double()
    moved = x.clone()
    moved[3] += 1.0
    changed = [(neuron := MPEPSN().double().eval()).trace(each)["membrane"] for each in (x, moved)]
    assert (changed[0] != changed[1]).flatten(1).any(1).nonzero().flatten().tolist() == [3, 4]
    assert neuron.streamable


def test_a_generator_is_copied_with_the_neuron() -> None:
    neuron = drawing()
    x = torch.randn(50, 2, 3)
    for other in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(other(x)[0], drawing()(x)[0])


class TestAuxiliaryLoss:
    def test_nobody_collects(self) -> None:
        """Then a loss whose weights are of another length is not even asked for."""
        drawing(learnt_loss_steps=7)(torch.randn(9, 1, 3))

    def test_one_a_layer_and_sample(self) -> None:
        model = Sequential(nn.Linear(3, 4), MPEPSN(), nn.Linear(4, 5), MPEPSN(), DSN(5))
        x = 4.0 * torch.randn(9, 2, 3)
        with auxiliary_losses() as losses:
            model(x)
            with auxiliary_losses() as inner:
                model(x)
        assert [loss.shape for loss in (*losses, *inner)] == [(2,)] * 4
        sum(loss.mean() for loss in losses).backward()
        assert model[0].module.weight.grad.abs().sum() > 0
        assert model[2].module.weight.grad.abs().sum() > 0
        assert model[1].threshold.grad.abs() > 0

    def test_after_an_error_nobody_collects(self) -> None:
        with pytest.raises(ZeroDivisionError), auxiliary_losses() as losses:
            raise ZeroDivisionError
        MPEPSN()(torch.randn(9, 2, 3))
        assert losses == []

    @pytest.mark.parametrize("learnt", [9, None])
    def test_padding_has_no_share(self, learnt: int | None) -> None:
        neuron = MPEPSN(learnt_loss_steps=learnt).eval()
        x, lengths = torch.randn(9, 3, 4, 2), torch.tensor([9, 4, 0])
        other = x.clone()
        other[4:, 1] = math.nan
        other[:, 2] = math.nan
        with auxiliary_losses() as losses:
            neuron(x, None, lengths)
            neuron(other, None, lengths)
            if learnt is None:
                neuron(x[:4, 1:2])
        assert torch.equal(losses[0], losses[1])
        assert losses[0][2] == 0.0
        if learnt is None:
            torch.testing.assert_close(losses[0][1], losses[2][0])

    def test_learnt_weights_have_a_length(self) -> None:
        with auxiliary_losses(), pytest.raises(InputError, match=r"learnt_loss_steps=7\) was given 9 time steps.*None"):
            MPEPSN(learnt_loss_steps=7)(torch.randn(9, 1, 3))

    @pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0), (1, 1, 1)])
    def test_empty_input(self, shape: tuple[int, ...]) -> None:
        with auxiliary_losses() as losses:
            MPEPSN()(torch.zeros(shape))
        assert losses[0].shape == (shape[1],)
        assert losses[0].isfinite().all()

    def test_a_compiled_pass_adds_none(self) -> None:
        torch.compiler.reset()
        neuron = MPEPSN()
        with auxiliary_losses() as losses:
            torch.compile(neuron, fullgraph=True, backend="aot_eager")(torch.randn(4, 2, 3))
        assert losses == []

    def test_integer_spikes_reset_to_zero(self) -> None:
        neuron = MPEPSN(firing=Integer(3)).eval()
        x = torch.full((1, 1, 1), 2.0)
        with auxiliary_losses() as losses:
            spikes, state = neuron(x)
        assert spikes.item() == 2.0
        torch.testing.assert_close(losses[0], state.estimate.flatten() ** 2)


def test_initial_values() -> None:
    neuron = MPEPSN(learnt_loss_steps=5)
    assert neuron.threshold.item() == 1.0
    assert torch.equal(neuron.loss_weight.detach(), torch.full((5,), 0.2))
    assert all(parameter.no_weight_decay for parameter in neuron.parameters())
    assert neuron.cost() == Cost(2, 2, transcendentals=1, state_bytes=4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MPEPSN(2.0), "tau is 2.0, expected 0 to 1: it is the decay"),
        (lambda: MPEPSN(learnt_loss_steps=0), "learnt_loss_steps is 0, expected at least 1, or None"),
    ],
)
def test_arguments_out_of_range(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
