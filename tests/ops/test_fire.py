"""Firing on the CPU equals the float64 reference, in spikes and surrogate gradients."""

import _gpu_support as cases
import pytest
import torch
from _support import LAYOUTS, REAL, check, laid_out

from spikescan import ops
from spikescan.ops import Kind

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("kind", Kind)
def test_equals_the_reference(kind: Kind, dtype: torch.dtype) -> None:
    check(cases.fire((7, 5, 33), dtype, kind))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (33,), (3, 0, 2)])
def test_takes_any_shape(shape: tuple[int, ...]) -> None:
    check(cases.fire(shape, torch.float32, Kind.ATAN))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.fire((5, 3, 7), torch.float32, Kind.ATAN), layout))


@pytest.mark.parametrize("kind", Kind)
def test_far_from_the_threshold(kind: Kind) -> None:
    check(cases.fire((63,), torch.float32, kind, size=1e4))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_rounds_half_to_even_and_keeps_nan(backend: str) -> None:
    h = torch.tensor([-0.5, 0.5, 1.5, 2.5, 3.5, 2.4999998, float("inf"), -float("inf"), float("nan")])
    with ops.backend(backend):
        integer = ops.fire(h, cases.FIRINGS[Kind.INTEGER])
        binary = ops.fire(h, cases.FIRINGS[Kind.ATAN])
    assert torch.equal(integer[:-1], torch.tensor([0.0, 0, 2, 2, 3, 2, 3, 0]))
    assert integer[-1].isnan()
    assert torch.equal(binary, torch.tensor([0.0, 1, 1, 1, 1, 1, 1, 0, 0]))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_threshold_itself_fires(backend: str) -> None:
    """And the gradient of integer spikes takes in both ends, 0 and the number of levels."""
    with ops.backend(backend):
        assert ops.fire(torch.tensor([0.3]).double(), cases.FIRINGS[Kind.ATAN]) == 1.0
        ends = torch.tensor([-1e-6, 0.0, 3.0, 3.00001], requires_grad=True)
        ops.fire(ends, cases.FIRINGS[Kind.INTEGER]).sum().backward()
    assert torch.equal(ends.grad, torch.tensor([0.0, 1.0, 1.0, 0.0]))
