"""A state is a value: batch first, float32 at least, detachable; one that does not fit is refused by name."""

import pytest
import torch
from law_cases import CASES, STREAMABLE, tensors

from spikescan.errors import InputError
from spikescan.neurons.base import detach, map_state


def half_a_run(case, dtype=torch.float32):
    """A module, its state after some steps, and the input that comes next."""
    x = case.input(6, dtype=dtype)
    module = case.module(x)
    if not module.streamable:
        return module, module(x)[1], x
    return module, module(x[:3])[1], x[3:]


everything = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
STATEFUL = [case for case in STREAMABLE if tensors(case.module(x := case.input()).initial_state(x[0]))]
stateful = pytest.mark.parametrize("case", STATEFUL, ids=lambda case: case.name)


@everything
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_state_is_batch_first_and_wide(case, dtype):
    _, state, _ = half_a_run(case, dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for tensor in tensors(state):
        assert len(tensor) == 2
        assert tensor.dtype in (wide, torch.int64)


@everything
def test_initial_state_is_what_none_means(case):
    x = case.input()
    module = case.module(x)
    y, _ = module(x)
    y_from_rest, _ = module(x, module.initial_state(x[0]))
    assert torch.equal(y_from_rest, y)


@stateful
def test_a_run_does_not_change_the_state_it_was_given(case):
    module, state, x = half_a_run(case)
    before = map_state(torch.clone, state)
    module(x, state)
    module.step(x[0], state)
    assert all(torch.equal(one, other) for one, other in zip(tensors(state), tensors(before), strict=True))


@stateful
def test_a_state_outlives_the_input_and_the_output(case):
    """Buffers are used again on live input, and outputs are changed in place."""
    x = case.input()
    with torch.no_grad():
        y, state = case.module(x)(x)
    before = map_state(torch.clone, state)
    x.fill_(7.0)
    y.fill_(7.0)
    assert all(torch.equal(one, other) for one, other in zip(tensors(state), tensors(before), strict=True))


@pytest.mark.parametrize("case", [case for case in STATEFUL if not case.truncates], ids=lambda case: case.name)
def test_detached_state_carries_no_gradient(case):
    x = case.input().requires_grad_()
    _, state = case.module(x)(x)
    assert any(tensor.requires_grad for tensor in tensors(state))
    assert not any(tensor.requires_grad for tensor in tensors(detach(state)))


def field_names(state):
    """Of all tensors in a state: what a message may call them."""
    if isinstance(state, torch.Tensor):
        return []
    return [*getattr(state, "_fields", ()), *(name for part in state for name in field_names(part))]


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
    module, state, x = half_a_run(case)
    for run in (lambda: module(x, change(state)), lambda: module.step(x[0], change(state))):
        with pytest.raises(InputError, match="|".join(["state", *field_names(state)])):
            run()
