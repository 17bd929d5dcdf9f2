import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import EachPlace, LeakyReadout, RateReadout, Sequential, Standardised
from spikescan.models import forecaster


def test_each_place_is_run_by_itself_with_the_same_weights():
    torch.manual_seed(0)
    module, x = Sequential(nn.Linear(3, 4), LeakyReadout(4)), torch.randn(9, 2, 3, 5, 2)
    lengths = torch.tensor([9, 4])
    y, _ = EachPlace(module)(x, None, lengths)
    assert y.shape == (9, 2, 4, 5, 2)
    for row in range(5):
        for column in range(2):
            expected, _ = module(x[..., row, column], None, lengths)
            torch.testing.assert_close(y[..., row, column], expected)


def test_a_state_of_another_batch_is_refused():
    module = EachPlace(RateReadout())
    with pytest.raises(InputError, match=r"a tensor of the state is \[2, 3, 1\], expected \[4, 3, '\*'\]"):
        module(torch.zeros(5, 4, 1, 3), module.initial_state(torch.zeros(2, 1, 3)))
    relative = Standardised(module)
    with pytest.raises(InputError, match=r"state.steps is \[2\]"):
        relative(torch.zeros(5, 4, 1, 3), relative.initial_state(torch.zeros(2, 1, 3)))


def test_standardised_by_the_past_as_its_equation_says():
    torch.manual_seed(0)
    seen, x = [], torch.randn(11, 2, 3, 4, dtype=torch.float64) * 3.0 + 5.0

    class Look(nn.Module):
        """Two outputs a place: its first channel, and twice that."""

        def forward(self, x):
            seen.append(x)
            return torch.cat([x[:, :1], 2.0 * x[:, :1]], dim=1)

    y, _ = Standardised(Sequential(Look()))(x)
    assert y.shape == (11, 2, 2, 4)
    for t in range(11):
        past = x[: t + 1].permute(0, 2, 1, 3).flatten(0, 1)
        mean = past.mean(0)
        deviation = ((1.0 + (past - mean).square().sum(0)) / (3 * (t + 1) + 1)).sqrt()
        torch.testing.assert_close(seen[0].view(11, 2, 3, 4)[t], (x[t] - mean[:, None]) / deviation[:, None])
        # Undone, the module's first output is the input itself.
        torch.testing.assert_close(y[t, :, 0], x[t, :, 0])
        torch.testing.assert_close(y[t, :, 1], 2.0 * x[t, :, 0] - mean)


@pytest.mark.parametrize("level", [0.0, 1e3, 1e5])
def test_a_series_far_from_zero_looks_the_same(level):
    """In float32, where a sum of squares would hold no digit of the deviation."""
    torch.manual_seed(0)
    x = torch.randn(300, 2, 3, 2, dtype=torch.float64) + level
    relative = Standardised(RateReadout())
    got, expected = relative.relative(x.float()), relative.relative(x.float().double())
    torch.testing.assert_close(got.deviation.double(), expected.deviation, rtol=1e-2, atol=0.0)
    torch.testing.assert_close(got.values.double(), expected.values, rtol=0.0, atol=1e-6 * max(level, 1.0))


def test_modules_without_time_are_lifted():
    linear, x = nn.Linear(3, 2), torch.randn(4, 2, 3, 5)
    y, _ = EachPlace(linear)(x)
    torch.testing.assert_close(y, linear(x.movedim(2, -1)).movedim(-1, 2))
    assert Standardised(EachPlace(linear))(x)[0].shape == (4, 2, 2, 5)
    assert Standardised(nn.Identity())(x)[0].shape == x.shape


@pytest.mark.parametrize("linear", [0, 4])
def test_a_level_that_was_never_trained_on_shifts_the_forecast_alone(linear):
    torch.manual_seed(0)
    model = forecaster(2, 6, neuron=LeakyReadout, variables=3, width=5, window=3, linear=linear).double()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))  # the linear forecast begins at zero
    x = torch.randn(30, 4, 2, 3, dtype=torch.float64)
    seen = slice(max(linear - 1, 0), None)  # before, the linear map sees zeros
    torch.testing.assert_close(model(x + 100.0)[0][seen], model(x)[0][seen] + 100.0, rtol=1e-7, atol=1e-7)


def test_the_forecasts_of_a_step_ahead_lie_together():
    with pytest.raises(InputError, match="outputs = 5 is no multiple of variables = 2"):
        forecaster(1, 5, neuron=LeakyReadout, variables=2)
    torch.manual_seed(0)
    model = forecaster(4, 6, neuron=LeakyReadout, variables=2, width=5).double()
    x = torch.randn(30, 1, 4, 2, dtype=torch.float64)
    beside = forecaster(4, 6, neuron=LeakyReadout, variables=2, width=5, linear=3).double()
    assert beside(x)[0].shape == model(x)[0].shape
    swapped = model(x.flip(3))[0].unflatten(2, (3, 2)).flip(3).flatten(2)
    torch.testing.assert_close(swapped, model(x)[0])
