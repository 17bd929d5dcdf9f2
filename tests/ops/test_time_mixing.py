"""Mixing over time on the CPU equals the float64 reference, bit by bit the same whatever stands beside a neuron."""

import _gpu_support as cases
import pytest
import torch
from _support import KINDS, LAYOUTS, REAL, check, check_spikes, gradcheck, laid_out, wide

from spikescan import ops
from spikescan.ops import Kind

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(
    ("steps", "shape"),
    [(7, (7, 2, 3)), (1, (63, 5)), (17, (0, 3)), (0, (5, 3)), (5, (3, 0)), (66, (33, 65)), (4, (127,))],
)
def test_equals_the_reference(steps: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check(cases.time_mixing(steps, shape, dtype, Kind.ATAN))


@pytest.mark.parametrize("order", [1, 4, 128, 129, 1000])
@pytest.mark.parametrize(
    ("steps", "inputs"),
    [(0, 0), (0, 3), (3, 0), (1, 1), (1, 4), (2, 2), (63, 63), (130, 133), (130, 141), (197, 197), (9, 5)],
)
def test_a_band_equals_the_reference(steps: int, inputs: int, order: int) -> None:
    check(cases.time_mixing(steps, (inputs, 3, 45), torch.float32, Kind.ATAN, order=order))


def test_a_band_is_the_matrix_with_zeros_elsewhere() -> None:
    """The same bits; and what lies elsewhere is not used."""
    x, weight, bias = cases.time_mixing(203, (206, 35), torch.float32, Kind.IDENTITY).inputs.values()
    banded = weight.tril(3).triu(3 - 5 + 1)
    expected = ops.time_mixing(x, banded, bias)
    assert torch.equal(ops.time_mixing(x, banded, bias, order=5), expected)
    assert torch.equal(ops.time_mixing(x, weight.where(banded != 0, torch.nan), bias, order=5), expected)


@pytest.mark.parametrize("order", [1, 3, 8, 129, 200])
def test_a_row_of_a_band_sees_nothing_else(order: int) -> None:
    """Not even what is not a number."""
    x, weight, bias = cases.time_mixing(300, (300, 35), torch.float32, Kind.IDENTITY).inputs.values()
    clean = ops.time_mixing(x, weight, bias, order=order)
    x[40] = torch.nan
    spoilt = ops.time_mixing(x, weight, bias, order=order)
    assert spoilt[40 : 40 + order].isnan().all()
    assert torch.equal(spoilt[:40], clean[:40])
    assert torch.equal(spoilt[40 + order :], clean[40 + order :])


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("neurons", [1, 33, 1100])
def test_a_narrow_band_in_every_type_and_width(dtype: torch.dtype, neurons: int) -> None:
    check(cases.time_mixing(21, (21, neurons), dtype, Kind.INTEGER, order=5))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_firing(kind: Kind) -> None:
    check(cases.time_mixing(9, (9, 17), torch.float32, kind))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.time_mixing(5, (3, 2, 3), torch.float32, Kind.ATAN), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("order", [None, 2, 129])
def test_gradients_are_those_of_finite_differences(backend: str, order: int | None) -> None:
    gradcheck(cases.time_mixing(4, (3, 2, 3), torch.float64, Kind.IDENTITY, order=order), backend)


def test_rows_and_neurons_do_not_see_each_other() -> None:
    """A matrix product of BLAS would round differently for other shapes."""
    inputs = cases.time_mixing(9, (31, 65), torch.float32, Kind.IDENTITY).inputs
    x, weight, bias = inputs.values()
    whole = ops.time_mixing(x, weight, bias)
    assert torch.equal(ops.time_mixing(x[:, 3:20], weight, bias), whole[:, 3:20])
    assert torch.equal(ops.time_mixing(x, weight[2:7], bias[2:7]), whole[2:7])


def test_spikes_differ_only_within_rounding_of_a_threshold() -> None:
    case = cases.time_mixing(63, (63, 1024), torch.float32, Kind.ATAN)
    with ops.backend("cpu"):
        (spikes,) = case.call(**case.inputs)
    with ops.backend("reference"):
        (membrane,) = cases.time_mixing(63, (63, 1024), torch.float32, Kind.IDENTITY).call(**wide(case.inputs))
    check_spikes(spikes, membrane, cases.FIRINGS[Kind.ATAN])
