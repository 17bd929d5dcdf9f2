"""A linear forecast relative to the last value."""

import torch

from spikescan.layers import FromLast


def test_begins_as_the_last_value_repeated():
    x = torch.randn(4, 3, 7)
    assert torch.equal(FromLast(7, 2)(x), x[..., -1:].expand(4, 3, 2))


def test_equals_the_equation():
    torch.manual_seed(0)
    layer = FromLast(3, 2).double()
    weight, bias = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    layer.linear.weight.data, layer.linear.bias.data = weight, bias
    x = torch.randn(5, 3, dtype=torch.float64)
    for sample, y in zip(x.tolist(), layer(x).tolist(), strict=True):
        for k in range(2):
            expected = sample[2] + bias[k] + sum(weight[k, i] * (sample[i] - sample[2]) for i in range(3))
            torch.testing.assert_close(y[k], float(expected))
