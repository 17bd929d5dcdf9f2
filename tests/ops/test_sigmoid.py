"""The logistic function equals the float64 reference, and its bits depend on the argument alone."""

import _gpu_support as cases
import pytest
import torch
from _support import LAYOUTS, REAL, check, gradcheck, laid_out

from spikescan import ops

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("size", [2.0, 20.0])
@pytest.mark.parametrize("dtype", REAL)
def test_equals_the_reference(dtype: torch.dtype, size: float) -> None:
    check(cases.sigmoid((7, 5, 33), dtype, size=size))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (33,), (3, 0, 2)])
def test_takes_any_shape(shape: tuple[int, ...]) -> None:
    check(cases.sigmoid(shape, torch.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.sigmoid((5, 3, 7), torch.float32), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradient(backend: str) -> None:
    gradcheck(cases.sigmoid((3, 5), torch.float64), backend)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_depend_on_the_argument_alone(dtype: torch.dtype) -> None:
    x = 4.0 * torch.randn(1037).to(dtype)
    whole = ops.sigmoid(x)
    assert torch.equal(torch.cat([ops.sigmoid(piece) for piece in x.split(7)]), whole)
    assert torch.equal(ops.sigmoid(x.view(17, 61).t()).t().reshape(-1), whole)
    assert torch.equal(torch.stack([ops.sigmoid(value) for value in x[:50]]), whole[:50])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_ends(backend: str) -> None:
    with ops.backend(backend):
        ends = ops.sigmoid(torch.tensor([-torch.inf, -200.0, 0.0, 200.0, torch.inf, torch.nan]))
    torch.testing.assert_close(ends[:-1], torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]), rtol=0, atol=1e-30)
    assert ends[-1].isnan()
