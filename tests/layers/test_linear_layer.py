"""`Linear` and `LayerNorm` are torch's with sums in a fixed order: the same parameters, values and gradients."""

import pytest
import torch
from torch import nn

import spikescan
from spikescan.ops import backend


def pair() -> tuple[spikescan.Linear, nn.Linear]:
    ours, theirs = spikescan.Linear(40, 9), nn.Linear(40, 9)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_begins_as_torch_does() -> None:
    torch.manual_seed(3)
    ours = spikescan.Linear(7, 5)
    torch.manual_seed(3)
    theirs = nn.Linear(7, 5)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equals_torch(dtype: torch.dtype) -> None:
    ours, theirs = (layer.to(dtype) for layer in pair())
    x = torch.randn(3, 70, 40).to(dtype)
    torch.testing.assert_close(ours(x), theirs(x))


def test_gradients_equal_torch() -> None:
    ours, theirs = pair()
    x = (torch.rand(200, 40) < 0.1).float()
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, rtol=1e-4, atol=1e-4)


def test_under_autocast_it_is_torchs() -> None:
    ours, theirs = pair()
    x = torch.randn(5, 40)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
        assert torch.equal(ours(x), theirs(x))


def test_the_backend_that_is_asked_for_serves_it() -> None:
    ours, theirs = pair()
    x = torch.randn(70, 40)
    with backend("reference"):
        assert torch.equal(ours(x), theirs(x))


def test_compiles_whole() -> None:
    ours, _ = pair()
    x = (torch.rand(200, 40) < 0.1).float()
    assert torch.equal(torch.compile(ours, fullgraph=True, backend="aot_eager")(x), ours(x))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        spikescan.InputError, match=r"weight is \[9, 40\] and x is \[3, 7\], expected \[O, I\] and \[\*, I\]"
    ):
        spikescan.Linear(40, 9)(torch.randn(3, 7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layer_norm_equals_torch(dtype: torch.dtype) -> None:
    ours, theirs = spikescan.LayerNorm(9).to(dtype), nn.LayerNorm(9).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 70, 9).to(dtype).requires_grad_()
    torch.testing.assert_close(ours(x), theirs(x))
    of_ours, of_theirs = (torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (ours, theirs))
    torch.testing.assert_close(of_ours, of_theirs, atol=1e-4, rtol=1e-4)


def test_a_layer_norm_without_channels_is_refused() -> None:
    with pytest.raises(spikescan.InputError, match="channels is 0, expected at least 1"):
        spikescan.LayerNorm(0)
