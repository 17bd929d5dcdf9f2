"""A state is a value: batch first, float32 at least, detachable; one that does not fit is refused by name."""

import pytest
import torch
from law_cases import CASES, STREAMABLE, tensors

from spikescan.errors import InputError
from spikescan.neurons.base import detach, map_state


def a_run(case, dtype=torch.float32):
    x = case.input(dtype=dtype)
    module = case.module(x)
    return module, x, module(x)[1]


everything = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
STATEFUL = [case for case in STREAMABLE if tensors(a_run(case)[2])]
stateful = pytest.mark.parametrize("case", STATEFUL, ids=lambda case: case.name)


@everything
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_state_is_batch_first_and_wide(case, dtype):
    _, _, state = a_run(case, dtype=dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for tensor in tensors(state):
        assert len(tensor) == 2
        assert tensor.dtype in (wide, torch.int64)


@everything
def test_initial_state_is_what_none_means(case):
    module, x, _ = a_run(case)
    y, _ = module(x)
    y_from_rest, _ = module(x, module.initial_state(x[0]))
    assert torch.equal(y_from_rest, y)


@stateful
def test_a_run_does_not_change_the_state_it_was_given(case):
    module, x, state = a_run(case)
    before = map_state(torch.clone, state)
    module(x, state)
    module.step(x[0], state)
    assert all(torch.equal(one, other) for one, other in zip(tensors(state), tensors(before), strict=True))


@stateful
def test_detached_state_carries_no_gradient(case):
    module, x, _ = a_run(case)
    _, state = module(x.requires_grad_())
    assert any(tensor.requires_grad for tensor in tensors(state))
    assert not any(tensor.requires_grad for tensor in tensors(detach(state)))


WRONG = {
    "other batch": lambda state: map_state(lambda tensor: torch.cat([tensor, tensor]), state),
    "other shape": lambda state: map_state(lambda tensor: tensor.unsqueeze(-1), state),
    "other dtype": lambda state: map_state(lambda tensor: tensor.half(), state),
    "other device": lambda state: map_state(lambda tensor: tensor.to("meta"), state),
    "other module": lambda state: (torch.zeros(2, 3),) * 7,
    "no tuple": lambda state: torch.zeros(2, 3),
}


@stateful
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_state_that_does_not_fit_is_refused(case, change):
    module, x, state = a_run(case)
    with pytest.raises(InputError, match="state"):
        module(x, change(state))
    with pytest.raises(InputError, match="state"):
        module.step(x[0], change(state))
