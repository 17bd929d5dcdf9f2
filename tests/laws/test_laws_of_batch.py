"""Laws 3 and 4: padding changes nothing, samples do not see each other, threads and memory layout do not matter."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from law_cases import CASES, NEURONS, STREAMABLE, assert_same, assert_same_state, inputs, laid_out, lengths_for, normal

from spikescan.errors import InputError
from spikescan.neurons.base import map_state
from spikescan.ops import _threads

everything = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@everything
@given(data=st.data())
def test_padding_changes_nothing(case, data):
    """Each sample alone, without its padding, gives the same; also where the padding is not a number."""
    x = data.draw(inputs(case)).tensor(case.dtype).clone()
    lengths = data.draw(lengths_for(x))
    for sample, length in enumerate(lengths.tolist()):
        x[length:, sample] = math.nan
    module = case.module(x)
    with torch.no_grad():
        y, state = module(x, None, lengths)
        for sample, length in enumerate(lengths.tolist()):
            alone = x[:length, sample : sample + 1]
            if not module.causal:  # it takes one number of time steps only
                alone = torch.nn.functional.pad(alone.movedim(0, -1), (0, len(x) - length)).movedim(-1, 0)
            its_y, its_state = module(alone)
            assert_same(y[:length, sample : sample + 1], its_y[:length], exact=case.exact, what=f"sample {sample}")
            assert not y[length:, sample].any(), f"sample {sample}: not zero beyond its {length} steps"
            row = map_state(lambda tensor: tensor[sample : sample + 1], state)  # noqa: B023 (called at once)
            assert_same_state(row, its_state, exact=case.exact)


@pytest.mark.parametrize("case", STREAMABLE, ids=lambda case: case.name)
@given(data=st.data())
def test_padded_chunks_go_on(case, data):
    """Each sample goes on from its own last valid step, so that samples stand at different ones in the next chunk."""
    x = data.draw(inputs(case)).tensor(case.dtype)
    chunks = x.split(max(1, data.draw(st.integers(0, len(x)))))
    lengths = [data.draw(lengths_for(chunk)) for chunk in chunks]
    module = case.module(x)
    state = None
    pieces = []
    with torch.no_grad():
        for chunk, valid in zip(chunks, lengths, strict=True):
            y, state = module(chunk, state, valid)
            pieces.append(y)
        for sample in range(x.shape[1]):
            ends = [int(valid[sample]) for valid in lengths]
            whole = torch.cat([chunk[:end, sample : sample + 1] for chunk, end in zip(chunks, ends, strict=True)])
            alone, its_state = module(whole)
            joined = torch.cat([y[:end, sample : sample + 1] for y, end in zip(pieces, ends, strict=True)])
            assert_same(joined, alone, exact=case.exact, what=f"sample {sample}")
            row = map_state(lambda tensor: tensor[sample : sample + 1], state)  # noqa: B023 (called at once)
            assert_same_state(row, its_state, exact=case.exact)


@everything
@pytest.mark.parametrize("garbage", [1e4, math.nan])
def test_padding_has_no_gradient(case, garbage):
    x = case.input(9, dtype=torch.float64)
    lengths = torch.tensor([9, 4])
    module = case.module(x)
    expected = padded_gradients(module, x, lengths)
    x[4:, 1] = garbage
    got = padded_gradients(module, x, lengths)
    assert not got["x"][4:, 1].any()
    for name in expected:
        assert_same(got[name], expected[name], exact=False, what=f"gradient of {name}")


def padded_gradients(module, x, lengths):
    leaf = x.clone().requires_grad_()
    named = {"x": leaf} | dict(module.named_parameters())
    y, _ = module(leaf, None, lengths)
    return dict(zip(named, torch.autograd.grad(y.square().sum(), list(named.values())), strict=True))


@everything
@pytest.mark.parametrize(
    "lengths", [torch.tensor([3.0, 2.0]), torch.tensor([3]), torch.tensor([3, 8]), torch.tensor([-1, 3])], ids=str
)
def test_lengths_that_do_not_fit_are_named(case, lengths):
    x = case.input(7)
    with pytest.raises(InputError, match="lengths"):
        case.module(x)(x, None, lengths)


@everything
@given(data=st.data())
def test_permuted_batch_permutes_the_result(case, data):
    x = data.draw(inputs(case)).tensor(case.dtype)
    order = torch.tensor(data.draw(st.permutations(range(x.shape[1]))), dtype=torch.int64)
    module = case.module(x)
    with torch.no_grad():
        y, state = module(x)
        y_permuted, state_permuted = module(x[:, order])
    assert_same(y_permuted, y[:, order], exact=case.exact, what="output")
    assert_same_state(state_permuted, map_state(lambda tensor: tensor[order], state), exact=case.exact)


@everything
@pytest.mark.parametrize("layout", ["batch first", "strided"])
def test_memory_layout_does_not_matter(case, layout):
    x = case.input(7)
    module = case.module(x)
    with torch.no_grad():
        y, state = module(x)
        y_other, state_other = module(laid_out(x, layout))
    assert_same(y_other, y, exact=case.exact, what="output")
    assert_same_state(state_other, state, exact=case.exact)


@pytest.mark.parametrize("case", NEURONS, ids=lambda case: case.name)
def test_threads_and_neighbours_do_not_change_a_bit(case, monkeypatch):
    """Enough neurons for several blocks and threads, and a tail in the last one."""
    monkeypatch.setattr(_threads, "MINIMUM_WORK", 1)
    x = normal((5, 3, 1037), 0, case.dtype)
    module = case.module(x)
    with torch.no_grad():
        y, _ = module(x)
        torch.set_num_threads(2)
        try:
            y_threads, _ = module(x)
        finally:
            torch.set_num_threads(1)
        y_alone, _ = module(x[:, 2:])
    assert_same(y_threads, y, exact=case.exact, what="2 threads")
    assert_same(y_alone, y[:, 2:], exact=case.exact, what="one sample alone")
