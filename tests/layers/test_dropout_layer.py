"""Dropout: torch's law, with draws of its own."""

import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from spikescan.layers import Dropout


def seeded(layer, x):
    torch.manual_seed(7)
    return layer(x)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.93])
def test_each_element_is_dropped_with_probability_p_and_the_others_scaled(p):
    torch.manual_seed(0)
    x = torch.ones(1000, 1001)
    y = Dropout(p)(x)
    zero = y == 0.0
    # Five standard deviations, plus the rounding of p.
    assert float(zero.double().mean()) == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / x.numel()) + 2**-17)
    kept = 1 - round(p * 2**16) / 2**16
    assert torch.equal(y[~zero], torch.full_like(y[~zero], 1 / kept))
    for axis in (0, 1):
        shares = zero.double().mean(axis)
        assert float((shares - p).abs().max()) < 6 * math.sqrt(p * (1 - p) / 1000)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    zero = (Dropout(0.5)(torch.ones(1_000_003)) == 0.0).double()
    for distance in (1, 2, 3, 4, 5, 64):
        both = (zero[distance:] * zero[:-distance]).mean()
        assert float(both) == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 1e6) * 2)


def test_the_draw_follows_the_seed_and_moves_on():
    layer, x = Dropout(0.3), torch.randn(5, 7)
    first = seeded(layer, x)
    assert torch.equal(first, seeded(layer, x))
    assert not torch.equal(first, layer(x))


def test_gradients():
    layer, x = Dropout(0.3), torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: seeded(layer, x), x)
    assert gradgradcheck(lambda x: seeded(layer, x), x)
    y = seeded(layer, x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(gradient, y.ne(0.0).double() / (1 - round(0.3 * 2**16) / 2**16))


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shapes_and_types(shape, dtype):
    x = torch.ones(shape, dtype=dtype)
    y = Dropout(0.5)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert bool(((y == 0.0) | (y == 2.0)).all())


def test_a_view_is_dropped_like_a_copy():
    x = torch.randn(6, 8)
    layer = Dropout(0.5)
    assert torch.equal(seeded(layer, x.t()), seeded(layer, x.t().contiguous()))
    assert torch.equal(seeded(layer, x[:, ::2]), seeded(layer, x[:, ::2].contiguous()))


def test_nothing_is_dropped_in_evaluation_and_all_at_one():
    x = torch.randn(4, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert not Dropout(1.0)(x).any()
    assert torch.equal(seeded(Dropout(1 - 1e-9), x), seeded(nn.Dropout(1 - 1e-9), x))
    with pytest.raises(ValueError, match="between 0 and 1"):
        Dropout(1.5)


def test_it_compiles_whole():
    y = torch.compile(Dropout(0.5), fullgraph=True, backend="eager")(torch.ones(64))
    assert bool(((y == 0.0) | (y == 2.0)).all())
