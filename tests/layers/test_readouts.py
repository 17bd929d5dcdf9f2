import pytest
import torch

from spikescan.errors import InputError
from spikescan.layers import LastReadout, LeakyReadout, MaxReadout, RateReadout, final_step


def test_rate_is_the_mean_so_far():
    x = torch.randn(7, 2, 3, 4, dtype=torch.float64)
    y, state = RateReadout()(x)
    torch.testing.assert_close(y, torch.stack([x[: t + 1].mean(0) for t in range(7)]))
    torch.testing.assert_close(state.total, x.sum(0))
    assert state.steps.tolist() == [7, 7]


def test_rate_counts_the_steps_of_each_sample():
    x = torch.ones(4, 2, 3)
    _, state = RateReadout()(x, None, torch.tensor([3, 0]))
    y, state = RateReadout()(2.0 * x[:1], state)
    assert y[0, :, 0].tolist() == [5 / 4, 2.0]
    assert state.steps.tolist() == [4, 1]


def test_rate_does_not_round_away_in_half_precision():
    y, _ = RateReadout()(torch.ones(1000, 1, 1, dtype=torch.bfloat16))
    assert y.dtype == torch.float32
    assert y[-1].item() == 1.0


def test_max_is_the_largest_so_far_and_its_last_step_gets_the_gradient():
    x = torch.tensor([1.0, -2.0, 3.0, 3.0, 0.0]).view(5, 1, 1).requires_grad_()
    y, state = MaxReadout()(x)
    assert y.flatten().tolist() == [1.0, 1.0, 3.0, 3.0, 3.0]
    y[-1].sum().backward()
    assert x.grad.flatten().tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    _, state = MaxReadout()(-x.detach())
    assert state.maximum.item() == 2.0


def test_leaky_integrates_with_one_decay_a_channel():
    readout = LeakyReadout(3, tau=4.0).double()
    with torch.no_grad():
        readout.decay_logit += torch.tensor([0.0, 1.0, -1.0])
    x = torch.randn(6, 2, 3, 5, dtype=torch.float64)
    decay = readout.decay_logit.sigmoid().view(3, 1)
    assert decay[0].item() == pytest.approx(1 - 1 / 4)
    v = torch.zeros(2, 3, 5, dtype=torch.float64)
    y, state = readout(x)
    for x_t, y_t in zip(x, y, strict=True):
        v = decay * v + (1 - decay) * x_t
        torch.testing.assert_close(y_t, v)
    torch.testing.assert_close(state.membrane, v)


def test_leaky_decay_gets_no_weight_decay():
    assert LeakyReadout(3).decay_logit.no_weight_decay


@pytest.mark.parametrize("tau", [1.0, 0.0, float("inf"), float("nan")])
def test_leaky_needs_a_time_constant_above_one_step(tau):
    with pytest.raises(InputError, match="tau"):
        LeakyReadout(3, tau=tau)


@pytest.mark.parametrize("shape", [(4, 2, 5), (4, 3)])
def test_leaky_names_the_channels_it_expects(shape):
    with pytest.raises(InputError, match=r"LeakyReadout\(3\) was given .* C = 3"):
        LeakyReadout(3)(torch.zeros(shape))


def test_last_is_its_input():
    x = torch.randn(4, 2, 3)
    assert torch.equal(LastReadout()(x)[0], x)


def test_final_step_is_the_last_valid_one():
    y = torch.arange(12.0).view(4, 3, 1)
    assert final_step(y).flatten().tolist() == [9.0, 10.0, 11.0]
    assert final_step(y, torch.tensor([4, 2, 0])).flatten().tolist() == [9.0, 4.0, 0.0]
    assert torch.equal(final_step(y[:0]), torch.zeros(3, 1))


def test_final_step_checks_the_lengths():
    with pytest.raises(InputError, match="lengths"):
        final_step(torch.zeros(4, 3, 1), torch.tensor([5, 1, 1]))
