import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import Sequential, Window


def test_the_last_inputs_stand_side_by_side():
    x = torch.arange(1.0, 6.0).view(5, 1, 1) * torch.tensor([1.0, 10.0])
    y, (past,) = Window(2, 3)(x)
    assert y[0, 0].tolist() == [0, 0, 0, 0, 1, 10]
    assert y[3, 0].tolist() == [2, 20, 3, 30, 4, 40]
    assert past[0].tolist() == [[4, 40], [5, 50]]


def test_with_a_linear_layer_it_is_a_causal_convolution():
    torch.manual_seed(0)
    convolution, x = nn.Conv1d(3, 5, 4), torch.randn(20, 2, 3)
    linear = nn.Linear(4 * 3, 5)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.transpose(1, 2).flatten(1))
        linear.bias.copy_(convolution.bias)
    expected = convolution(nn.functional.pad(x.permute(1, 2, 0), (3, 0))).permute(2, 0, 1)
    torch.testing.assert_close(Sequential(Window(3, 4), linear)(x)[0], expected, rtol=1e-5, atol=1e-5)


def test_says_what_does_not_fit():
    with pytest.raises(InputError, match="channels = 3 and size = 0, expected both at least 1"):
        Window(3, 0)
    with pytest.raises(InputError, match=r"Window\(3\) was given \[5, 2, 4\]"):
        Window(3, 2)(torch.zeros(5, 2, 4))
    state = Window(3, 2).initial_state(torch.zeros(4, 3))
    with pytest.raises(InputError, match=r"state.past is \[4, 1, 3\]"):
        Window(3, 2)(torch.zeros(5, 2, 3), state)
