"""Laws 1 and 2: one pass, any split and single steps agree, in value and gradient; the past does not see the future."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from law_cases import (
    CASES,
    MODELS,
    NEURONS,
    STREAMABLE,
    WITH_GRADIENT,
    assert_same,
    assert_same_state,
    cuts_for,
    flagged,
    gradients,
    inputs,
    normal,
    run_in_pieces,
)

from spikescan.errors import InputError
from spikescan.streaming import stream

IN_ORDER = ("mlp", "residual_mlp", "causal_transformer", "sd_tcm", "spiking_ssm")
"""Models without convolutions or other sums that BLAS orders by their shape."""


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@by_name(STREAMABLE)
@given(data=st.data())
def test_any_split_equals_one_pass(case, data):
    x = data.draw(inputs(case)).tensor(case.dtype)
    module = case.module(x)
    with torch.no_grad():
        y, state = module(x)
        y_pieces, state_pieces = run_in_pieces(module, x, data.draw(cuts_for(x)))
    assert_same(y_pieces, y, exact=case.exact, what="output")
    assert_same_state(state_pieces, state, exact=case.exact)


SUMMED_IN_ORDER = [model for model in MODELS if model.name.split("-")[0] in IN_ORDER and "rms" not in model.name]


@by_name(SUMMED_IN_ORDER)
@given(data=st.data())
def test_networks_of_linear_layers_have_the_same_bits_in_float32(case, data):
    """However time and batch are cut: their sums run in order (`spikescan.Linear`)."""
    x = data.draw(inputs(case)).tensor(torch.float32)
    module = case.module(x)
    with torch.no_grad():
        y, state = module(x)
        y_pieces, state_pieces = run_in_pieces(module, x, data.draw(cuts_for(x)))
        alone = [module(x[:, sample : sample + 1])[0] for sample in range(x.shape[1])]
    assert_same(y_pieces, y, exact=True, what="output")
    assert_same_state(state_pieces, state, exact=True)
    assert_same(torch.cat([y[:, :0], *alone], 1), y, exact=True, what="output of each sample alone")


@by_name(SUMMED_IN_ORDER)
def test_their_streams_have_the_same_bits_in_float32(case):
    x = case.input(40, dtype=torch.float32)
    module = case.module(x)
    live = stream(module, batch=x.shape[1])
    with torch.no_grad():
        y, _ = module(x)
    assert_same(torch.stack([live.push(x_t) for x_t in x]), y, exact=True, what="output")


@by_name(WITH_GRADIENT)
@given(data=st.data())
def test_gradients_flow_through_the_carried_state(case, data):
    x = data.draw(inputs(case)).tensor(torch.float64)
    cuts = data.draw(cuts_for(x))
    module = case.module(x)
    whole = gradients(module, x, [(0, len(x), False)])
    pieces = gradients(module, x, cuts)
    for name, gradient in whole.items():
        assert_same(pieces[name], gradient, exact=False, what=f"gradient of {name}")


@by_name(STREAMABLE)
def test_a_stream_equals_one_pass(case):
    x = case.input(9)
    module = case.module(x)
    live = stream(module, batch=x.shape[1])
    with torch.no_grad():
        y, _ = module(x)
    assert_same(torch.stack([live.push(x_t) for x_t in x]), y, exact=case.exact, what="output")


@by_name(flagged("causal", True))
@given(data=st.data())
def test_the_past_does_not_see_the_future(case, data):
    x = data.draw(inputs(case)).tensor(case.dtype)
    now = data.draw(st.integers(0, len(x)))
    module = case.module(x)
    other = torch.cat([x[:now], normal(x[now:].shape, 99, x.dtype)])
    with torch.no_grad():
        assert_same(module(other)[0][:now], module(x)[0][:now], exact=case.exact, what="output")


@by_name(flagged("causal", False))
def test_what_says_that_it_is_not_causal_is_not(case):
    x = case.input(7, dtype=torch.float64).requires_grad_()
    y, _ = case.module(x)(x)
    (gradient,) = torch.autograd.grad(y[0].sum(), x)
    assert gradient[1:].abs().sum() > 0


@by_name(flagged("streamable", False))
def test_what_cannot_stream_says_so(case):
    x = case.input(7)
    with pytest.raises(InputError, match=r"\w+"):
        case.module(x).step(x[0])


@by_name(NEURONS)
def test_neurons_fire_here(case):
    """Else the laws would hold for a neuron that is always silent."""
    y, _ = case.module(x := normal((63, 3, 17), 0, case.dtype))(x)
    assert 0 < y.count_nonzero() < y.numel()


@by_name(CASES)
def test_every_module_has_a_gradient_here(case):
    x = case.input(9, dtype=torch.float64)
    found = gradients(case.module(x), x)
    assert all(gradient.abs().sum() > 0 for gradient in found.values()), found.keys()
