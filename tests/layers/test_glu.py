"""The gated linear unit: torch's, with the same bits wherever a number stands."""

import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import GLU


@pytest.mark.parametrize(("shape", "dim"), [((3, 10), -1), ((2, 6, 5), 1), ((0, 4), -1), ((4, 0), -1)])
def test_equals_torchs(shape, dim):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y, expected = GLU(dim)(x), nn.GLU(dim)(x)
    torch.testing.assert_close(y, expected)
    weight = torch.randn_like(y)
    torch.testing.assert_close(*(torch.autograd.grad((each * weight).sum(), x)[0] for each in (y, expected)))


def test_a_row_has_the_same_bits_wherever_it_stands():
    x = torch.randn(7, 26)
    whole = GLU()(x)
    assert all(torch.equal(GLU()(x[i : i + 1])[0], whole[i]) for i in range(7))
    assert torch.equal(GLU(0)(x.t()).t(), whole)


def test_refuses_what_has_no_halves():
    with pytest.raises(InputError, match="even number on axis -1"):
        GLU()(torch.randn(2, 5))
