from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.layers import PerStep, RateReadout, Residual, Sequential
from spikescan.neurons.base import Temporal, check_state


class DelayState(NamedTuple):
    last: Tensor


class Delay(Temporal):
    """y_t = x_{t-1}: the smallest module with a state."""

    def forward(self, x, state=None, lengths=None):
        (last,) = self._checked(x.new_empty(x.shape[1:]), state)
        y = torch.cat([last.unsqueeze(0), x])
        return y[:-1], DelayState(y[-1])

    def step(self, x_t, state=None):
        (last,) = self._checked(x_t, state)
        return last, DelayState(x_t)

    def initial_state(self, x_t):
        return DelayState(torch.zeros_like(x_t))

    def _checked(self, x_t, state):
        rest = self.initial_state(x_t)
        if state is None:
            return rest
        check_state("Delay", state, rest)
        return state


class Reverse(Temporal):
    """y_t = x_{T-t}: the smallest module that cannot stream."""

    causal = False
    streamable = False
    length_bound = True

    def forward(self, x, state=None, lengths=None):
        return x.flip(0), ()

    def step(self, x_t, state=None):
        raise InputError("Reverse needs the future; use Delay.")

    def initial_state(self, x_t):
        return ()


def test_runs_its_parts_in_order_and_returns_their_states():
    x = torch.randn(5, 2, 3)
    y, state = Sequential(Delay(), nn.ReLU(), Delay())(x)
    assert torch.equal(y, torch.cat([torch.zeros(2, 2, 3), x[:-2].relu()]))
    assert torch.equal(state[0].last, x[-1])
    assert state[1] == ()
    assert torch.equal(state[2].last, x[-2].relu())


def test_one_module_in_two_places_has_two_states():
    delay = Delay()
    x = torch.randn(5, 2, 3)
    y, state = Sequential(delay, delay)(x)
    assert torch.equal(y[2:], x[:-2])
    assert len(state) == 2


def test_initial_state_sees_the_shapes_between_the_parts():
    norm = nn.BatchNorm1d(5)
    model = Sequential(nn.Linear(3, 5), norm, Delay())
    assert model.initial_state(torch.randn(2, 3))[2].last.shape == (2, 5)
    assert torch.equal(norm.running_mean, torch.zeros(5))


def test_names_stand_in_the_state_dict():
    model = Sequential({"input": nn.Linear(3, 4), "readout": RateReadout()})
    assert list(model.state_dict()) == ["input.module.weight", "input.module.bias"]
    assert list(Sequential(nn.Linear(3, 4)).state_dict()) == ["0.module.weight", "0.module.bias"]


def test_is_a_sequence_of_temporal_parts():
    delay = Delay()
    model = Sequential(nn.Linear(3, 4), delay)
    assert len(model) == 2
    assert model[1] is delay
    assert model[-1] is delay
    assert [type(part) for part in model] == [PerStep, Delay]


def test_nested_sequential_with_time_is_opened_and_without_is_lifted_whole():
    with_time, without = Sequential(nn.Sequential(nn.Linear(3, 4), Delay()), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    assert isinstance(with_time, Sequential)
    assert [type(part) for part in with_time] == [PerStep, Delay]
    assert isinstance(without, PerStep)


FLAGS = ("causal", "streamable", "stochastic", "length_bound")


@pytest.mark.parametrize(
    ("parts", "flags"),
    [
        ([Delay(), nn.Linear(3, 3)], (True, True, False, False)),
        ([Delay(), Reverse()], (False, False, False, True)),
        ([Delay(), nn.Dropout()], (True, True, True, False)),
    ],
    ids=["plain", "reversed", "dropped"],
)
@pytest.mark.parametrize("compose", [Sequential, lambda *parts: Residual(Sequential(*parts))])
def test_says_what_its_parts_are(compose, parts, flags):
    assert tuple(getattr(compose(*parts), flag) for flag in FLAGS) == flags


def test_stepping_a_part_that_cannot_names_it_and_what_to_use():
    model = Sequential({"in": nn.Linear(3, 3), "block": Sequential(Delay(), Reverse())})
    with pytest.raises(InputError, match=r"part 'block' \(Sequential\): part '1' \(Reverse\): .* use Delay"):
        model.step(torch.randn(2, 3))


@pytest.mark.parametrize("state", [(), ((), (), ()), torch.zeros(2, 2), [(), ()]], ids=["0", "3", "tensor", "list"])
def test_a_state_of_another_structure_is_refused(state):
    model = Sequential({"in": nn.Linear(3, 3), "delay": Delay()})
    with pytest.raises(InputError, match=r"expected a tuple of 2, one state for each of its parts \(in, delay\)"):
        model(torch.randn(4, 2, 3), state)


def test_a_part_that_refuses_its_state_is_named():
    model = Sequential({"in": nn.Linear(3, 3), "delay": Delay()})
    with pytest.raises(InputError, match=r"part 'delay' \(Delay\): Delay: state\.last is \[9, 3\]"):
        model(torch.randn(4, 2, 3), ((), DelayState(torch.zeros(9, 3))))


@pytest.mark.parametrize("parts", [(), ({},)])
def test_no_parts_are_refused(parts):
    with pytest.raises(InputError, match="no parts"):
        Sequential(*parts)


def test_what_is_no_module_is_refused():
    with pytest.raises(InputError, match=r"expected an nn\.Module.*nn\.ReLU\(\)"):
        Sequential(nn.Linear(3, 3), torch.relu)


def test_residual_adds_its_input():
    x = torch.randn(5, 2, 3)
    y, state = Residual(Delay())(x)
    assert torch.equal(y[1:], x[1:] + x[:-1])
    assert torch.equal(state.last, x[-1])


def test_residual_needs_equal_shapes():
    with pytest.raises(InputError, match=r"PerStep returned \[4, 2, 1\], but x is \[4, 2, 3\]"):
        Residual(nn.Linear(3, 1))(torch.randn(4, 2, 3))


def test_residual_with_a_shortcut_adds_both_and_carries_both_states():
    x = torch.randn(6, 2, 3)
    module = Residual(Sequential(Delay(), nn.Linear(3, 4)), Sequential(nn.Linear(3, 4), Delay()))
    y, state = module(x)
    torch.testing.assert_close(y, module.module(x)[0] + module.shortcut(x)[0])
    first, between = module(x[:2], module.initial_state(x[0]))
    steps = [first]
    for x_t in x[2:]:
        y_t, between = module.step(x_t, between)
        steps.append(y_t.unsqueeze(0))
    torch.testing.assert_close(torch.cat(steps), y)
    torch.testing.assert_close(between, state)


def test_residual_with_a_shortcut_is_zero_in_the_padding():
    x = torch.randn(4, 2, 3)
    x[2:, 1] = torch.nan
    y, _ = Residual(nn.Linear(3, 4), nn.Linear(3, 4))(x, None, torch.tensor([4, 2]))
    assert not y[2:, 1].any()
    assert y.isfinite().all()


def test_residual_with_a_shortcut_names_what_does_not_fit():
    x = torch.randn(4, 2, 3)
    with pytest.raises(InputError, match=r"shortcut\(x\) is \[4, 2, 5\]"):
        Residual(nn.Linear(3, 4), nn.Linear(3, 5))(x)
    for state in ((), ((), (), ()), torch.zeros(2, 2)):
        with pytest.raises(InputError, match="pair of the states"):
            Residual(nn.Linear(3, 4), nn.Linear(3, 4))(x, state)


@pytest.mark.parametrize("part", [0, 1])
def test_residual_says_what_its_shortcut_is(part):
    parts = [Delay(), Delay()]
    parts[part] = Reverse()
    assert tuple(getattr(Residual(*parts), flag) for flag in FLAGS) == (False, False, False, True)
