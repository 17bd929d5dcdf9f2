"""Layer norm equals the float64 reference, and a row has the same bits wherever it stands."""

import _gpu_support as cases
import pytest
import torch
from _support import LAYOUTS, REAL, check, gradcheck, laid_out

from spikescan import ops

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(("rows", "channels"), [(0, 3), (1, 5), (3, 16), (5, 17), (63, 33), (7, 1000)])
def test_equals_the_reference(rows: int, channels: int, dtype: torch.dtype) -> None:
    check(cases.layer_norm(rows, channels, dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.layer_norm(7, 19, torch.float32), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients_are_those_of_finite_differences(backend: str) -> None:
    gradcheck(cases.layer_norm(4, 5, torch.float64), backend)


@pytest.mark.parametrize("shape", [(7,), (2, 3, 7), (0, 3, 7)])
def test_takes_any_number_of_axes(shape: tuple[int, ...]) -> None:
    x, gain, offset = torch.randn(shape), torch.randn(7), torch.randn(7)
    torch.testing.assert_close(ops.layer_norm(x, gain, offset), torch.nn.functional.layer_norm(x, (7,), gain, offset))


@pytest.mark.parametrize("channels", [5, 128, 300])
def test_a_row_has_the_same_bits_wherever_it_stands(channels: int) -> None:
    x, gain, offset = cases.layer_norm(900, channels, torch.float32).inputs.values()
    whole = ops.layer_norm(x, gain, offset)
    assert torch.equal(torch.cat([ops.layer_norm(rows, gain, offset) for rows in x.split(7)]), whole)
    assert torch.equal(ops.layer_norm(x.view(30, 30, channels), gain, offset).flatten(0, 1), whole)


def test_far_from_zero_it_loses_no_more_than_torch() -> None:
    x = 1e4 + torch.randn(50, 200)
    one, zero = torch.ones(200), torch.zeros(200)
    exact = torch.nn.functional.layer_norm(x.double(), (200,))
    ours, theirs = ops.layer_norm(x, one, zero), torch.nn.functional.layer_norm(x, (200,))
    assert (ours - exact).abs().max() < 2 * (theirs - exact).abs().max() + 1e-6


def test_what_is_not_a_number_spoils_its_row_alone() -> None:
    x, gain, offset = cases.layer_norm(5, 33, torch.float32).inputs.values()
    clean = ops.layer_norm(x, gain, offset)
    x[2, 7] = torch.nan
    spoilt = ops.layer_norm(x, gain, offset)
    assert spoilt[2].isnan().all()
    assert torch.equal(spoilt[[0, 1, 3, 4]], clean[[0, 1, 3, 4]])
