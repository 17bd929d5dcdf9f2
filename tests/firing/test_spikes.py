"""Binary and integer spikes, the thermometer code, and firing from what a recipe says."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikescan.errors import InputError
from spikescan.firing import ATan, Binary, Integer, Sigmoid, firing_from, from_thermometer, to_thermometer


def test_binary_fires_at_its_threshold() -> None:
    membrane = torch.tensor([0.74, 0.75, 0.76, -1.0])
    assert torch.equal(Binary(threshold=0.75)(membrane), torch.tensor([0.0, 1.0, 1.0, 0.0]))


def test_integer_rounds_half_to_even_within_its_levels() -> None:
    membrane = torch.tensor([-3.0, 0.5, 0.500001, 1.5, 2.5, 3.5, 9.0])
    assert torch.equal(Integer(4)(membrane), torch.tensor([0.0, 0.0, 1.0, 2.0, 2.0, 4.0, 4.0]))


def test_integer_passes_gradients_between_zero_and_its_levels() -> None:
    membrane = torch.tensor([-0.1, 0.0, 1.3, 2.0, 2.1], requires_grad=True)
    Integer(2)(membrane).backward(torch.arange(1.0, 6.0))
    assert torch.equal(membrane.grad, torch.tensor([0.0, 2.0, 3.0, 4.0, 0.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("firing", [Binary(), Integer()])
def test_spikes_have_the_dtype_of_the_membrane(firing: Binary | Integer, dtype: torch.dtype) -> None:
    assert firing(torch.ones(3, 2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("levels", [0, -1, 1.5])
def test_levels_are_whole(levels: float) -> None:
    with pytest.raises(InputError, match=f"levels is {levels}, expected a whole number"):
        Integer(levels)


@given(data=st.data(), levels=st.integers(1, 5), steps=st.integers(0, 4))
def test_a_thermometer_gives_the_integers_back(data: st.DataObject, levels: int, steps: int) -> None:
    values = data.draw(st.lists(st.integers(0, levels), min_size=steps * 3, max_size=steps * 3))
    spikes = torch.tensor(values, dtype=torch.float32).view(steps, 3)
    slots = to_thermometer(spikes, levels)
    assert slots.shape == (steps, levels, 3)
    assert bool(((slots == 0) | (slots == 1)).all())
    assert bool((slots[:, 1:] <= slots[:, :-1]).all())  # the first sub-steps fire
    assert torch.equal(from_thermometer(slots), spikes)


def test_a_linear_map_of_sub_steps_is_that_of_the_integers() -> None:
    spikes, weight = torch.tensor([[0.0, 3.0, 1.0]]), torch.randn(3, 2)
    torch.testing.assert_close(from_thermometer(to_thermometer(spikes, 3) @ weight), spikes @ weight)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "high", None])
@pytest.mark.parametrize(("kind", "name"), [(Binary, "threshold"), (Integer, "levels")])
def test_fields_are_finite_numbers(kind: type, name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{kind.__name__}: {name} is {value!r}, expected a finite number"):
        kind(**{name: value})


@pytest.mark.parametrize("value", [-1.0, 5.0, 0.5])
def test_a_thermometer_takes_whole_numbers_within_its_levels(value: float) -> None:
    with pytest.raises(InputError, match="whole numbers from 0 to levels = 4"):
        to_thermometer(torch.tensor([[value]]), 4)


@pytest.mark.parametrize(
    ("value", "firing"),
    [
        ("binary", Binary()),
        ("integer", Integer()),
        ({"kind": "integer", "levels": 2}, Integer(2)),
        ({"kind": "binary", "threshold": 0.5, "surrogate": "sigmoid"}, Binary(0.5, Sigmoid())),
        ({"kind": "binary", "surrogate": {"kind": "atan", "alpha": 5.0}}, Binary(surrogate=ATan(5.0))),
        (Integer(3), Integer(3)),
    ],
)
def test_firing_from_a_recipe(value: object, firing: Binary | Integer) -> None:
    assert firing_from(value) == firing


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("ternary", "no firing 'ternary'; there are binary, integer"),
        ({"kind": "integer", "level": 2}, "'integer' has no 'level'; it has levels"),
        ({"kind": "binary", "surrogate": "step"}, "no surrogate 'step'; there are atan, sigmoid"),
        ({"kind": "binary", "surrogate": {"kind": "atan", "beta": 1}}, "'atan' has no 'beta'; it has alpha"),
        ({"levels": 2}, "expected a name or a mapping with 'kind'"),
        (3, "firing is 3, expected a name or a mapping"),
    ],
)
def test_firing_from_nonsense(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        firing_from(value)
