import math

import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import PerStep, RateReadout


def test_each_step_is_the_module_of_that_step():
    linear = nn.Linear(3, 5)
    x = torch.randn(4, 2, 3)
    y, state = PerStep(linear)(x)
    assert state == ()
    torch.testing.assert_close(y, torch.stack([linear(x_t) for x_t in x]))


def test_space_goes_through():
    y, _ = PerStep(nn.Conv2d(3, 4, 3, padding=1))(torch.randn(5, 2, 3, 7, 6))
    assert y.shape == (5, 2, 4, 7, 6)


def test_padding_enters_no_batch_statistics():
    x = torch.randn(6, 2, 3)
    valid = torch.cat([x[:6, 0], x[:2, 1]])
    x[2:, 1] = math.nan
    lifted = PerStep(nn.BatchNorm1d(3, momentum=1.0))
    y, _ = lifted(x, None, torch.tensor([6, 2]))
    torch.testing.assert_close(lifted.module.running_mean, valid.mean(0))
    torch.testing.assert_close(lifted.module.running_var, valid.var(0))
    assert not y[2:, 1].any()


@pytest.mark.parametrize(
    ("x", "lengths"),
    [
        (torch.zeros(0, 2, 3), None),
        (torch.zeros(4, 0, 3), None),
        (torch.ones(4, 2, 3), torch.zeros(2, dtype=torch.int64)),
    ],
    ids=["no steps", "no samples", "only padding"],
)
def test_nothing_to_run_on_gives_the_shape_and_no_statistics(x, lengths):
    norm = nn.BatchNorm1d(5)
    y, _ = PerStep(nn.Sequential(nn.Linear(3, 5), norm))(x, None, lengths)
    assert y.shape == (*x.shape[:2], 5)
    assert not y.any()
    assert torch.equal(norm.running_mean, torch.zeros(5))
    assert torch.equal(norm.running_var, torch.ones(5))


def test_a_module_with_time_in_it_is_refused():
    with pytest.raises(InputError, match=r"Sequential has time in it \(RateReadout\).*spikescan\.Sequential"):
        PerStep(nn.Sequential(nn.Linear(2, 2), RateReadout()))


@pytest.mark.parametrize("module", [nn.GRU(3, 3), nn.Flatten(0)], ids=["a tuple", "other rows"])
def test_what_does_not_return_a_row_for_each_row_is_refused(module):
    with pytest.raises(InputError, match=f"PerStep: {type(module).__name__} returned"):
        PerStep(module)(torch.randn(4, 2, 3))


def test_a_state_is_refused():
    with pytest.raises(InputError, match="PerStep was given a state"):
        PerStep(nn.Linear(3, 3))(torch.randn(4, 2, 3), torch.zeros(2, 3))


def test_dropout_makes_it_stochastic():
    assert PerStep(nn.Sequential(nn.Linear(3, 3), nn.Dropout())).stochastic
    assert not PerStep(nn.Linear(3, 3)).stochastic
