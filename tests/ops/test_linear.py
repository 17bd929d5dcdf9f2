"""The linear layer equals the float64 reference, and a row has the same bits wherever it stands, sparse or dense."""

import _gpu_support as cases
import pytest
import torch
from _support import LAYOUTS, REAL, check, gradcheck, laid_out

from spikescan import ops
from spikescan.ops._threads import MINIMUM_WORK

pytestmark = pytest.mark.usefixtures("poisoned")

# Shares of inputs that are not zero: listed both ways; for enough outputs one way alone, which one by the processor; all taken.
DENSITIES = [0.0, 0.1, 0.33, 0.52, 1.0]


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        (0, 3, 2),
        (3, 0, 2),
        (3, 2, 0),
        (1, 1, 1),
        (4, 33, 17),
        (5, 33, 17),
        (32, 63, 40),
        (61, 63, 75),
        (61, 129, 40),
        (200, 17, 16),
        (130, 5, 130),
    ],
)
def test_equals_the_reference(rows: int, inputs: int, outputs: int, dtype: torch.dtype, density: float) -> None:
    check(cases.linear(rows, inputs, outputs, dtype, density=density))


@pytest.mark.parametrize("rows", [2, 70])
@pytest.mark.parametrize("place", [0, 63, 64, 127])
def test_the_only_input_that_is_not_zero_counts(place: int, rows: int) -> None:
    x, weight = torch.zeros(rows, 128), torch.randn(40, 128, requires_grad=True)
    x[:, place] = 2.0
    y = ops.linear(x, weight)
    assert torch.equal(y, (2.0 * weight[:, place]).expand(rows, -1))
    y.sum().backward()
    assert torch.equal(weight.grad.nonzero()[:, 1].unique(), torch.tensor([place]))
    assert torch.equal(weight.grad[:, place], torch.full((40,), 2.0 * rows))


@pytest.mark.parametrize("rows", [2, 70])
def test_takes_no_bias(rows: int) -> None:
    check(cases.linear(rows, 9, 20, torch.float32, density=0.2, bias=False))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.linear(70, 9, 20, torch.float32, density=0.2), layout))


@pytest.mark.parametrize("shape", [(7,), (2, 3, 7), (0, 3, 7), (2, 3, 0)])
def test_takes_any_number_of_axes(shape: tuple[int, ...]) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(5, shape[-1]), torch.randn(5)
    torch.testing.assert_close(ops.linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("rows", [3, 7])
def test_gradients_are_those_of_finite_differences(backend: str, rows: int) -> None:
    gradcheck(cases.linear(rows, 5, 3, torch.float64), backend)


def test_only_the_gradients_that_are_asked_for() -> None:
    x, weight, bias = cases.linear(70, 9, 20, torch.float32, density=0.1).inputs.values()
    leaf = weight.clone().requires_grad_()
    ops.linear(x, leaf, bias).square().sum().backward()
    expected = weight.clone().requires_grad_()
    torch.nn.functional.linear(x, expected, bias).square().sum().backward()
    torch.testing.assert_close(leaf.grad, expected.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_has_the_same_bits_wherever_it_stands(dtype: torch.dtype) -> None:
    """Alone, among rows of spikes, among rows without a zero, and on several threads."""
    sparse = cases.linear(600, 300, 75, dtype, density=0.15)
    x, weight, bias = sparse.inputs.values()
    dense = torch.randn_like(x)
    mixed = torch.stack([x, dense], 1).flatten(0, 1)
    assert len(mixed) * (300 * 75 // 16) > MINIMUM_WORK
    assert 0.05 < (x != 0).double().mean() < 0.25
    threads = torch.get_num_threads()
    whole = ops.linear(mixed, weight, bias)
    torch.set_num_threads(1)
    try:
        assert torch.equal(ops.linear(mixed, weight, bias), whole)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(ops.linear(x, weight, bias), whole[::2])
    assert torch.equal(ops.linear(dense, weight, bias), whole[1::2])
    assert torch.equal(torch.cat([ops.linear(row, weight, bias) for row in x[:30].split(1)]), whole[:60:2])
    for rows in (4, 7, 32, 50):  # looked up, packed in place of the weights, and blocks
        assert torch.equal(torch.cat([ops.linear(each, weight, bias) for each in dense.split(rows)]), whole[1::2])
        assert torch.equal(torch.cat([ops.linear(each, weight, bias) for each in x.split(rows)]), whole[::2])


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_the_sum_runs_in_order_each_product_rounded_with_it(density: float) -> None:
    """In float64, where a product of two float32 is exact and its sum is rounded twice, which seldom matters."""
    x, weight, bias = cases.linear(9, 40, 3, torch.float32, density=density).inputs.values()
    total = torch.zeros(9, 3)
    for i in range(40):
        total = (x[:, i, None].double() * weight[:, i].double() + total.double()).float()
    assert (ops.linear(x, weight, bias) == total + bias).double().mean() > 0.98
