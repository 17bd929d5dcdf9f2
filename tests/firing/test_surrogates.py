"""Each surrogate is the derivative of a primitive that is written down here by itself."""

import math

import numpy as np
import pytest
import torch

from spikescan.errors import InputError
from spikescan.firing import ATan, Binary, FastSigmoid, MultiGaussian, Rectangular, Sigmoid, Surrogate, Triangular

THRESHOLD = 0.7


def _normal(x: float, deviation: float) -> float:
    return 0.5 * math.erf(x / (deviation * math.sqrt(2.0)))


def _triangle(x: float, width: float) -> float:
    near = max(min(x, width), -width)
    return near / width - math.copysign(0.5, near) * (near / width) ** 2


# What each carries the output through, up to a constant.
PRIMITIVES = {
    ATan(3.0): lambda x: math.atan(0.5 * math.pi * 3.0 * x) / math.pi,
    Sigmoid(4.0): lambda x: 1.0 / (1.0 + math.exp(-4.0 * x)),
    Triangular(1.5): lambda x: _triangle(x, 1.5),
    Rectangular(0.6): lambda x: max(min(x / 0.6, 0.5), -0.5),
    MultiGaussian(0.5, 0.15, 6.0): lambda x: (
        1.15 * _normal(x, 0.5) - 0.15 * _normal(x - 0.5, 3.0) - 0.15 * _normal(x + 0.5, 3.0)
    ),
    FastSigmoid(10.0): lambda x: x / (1.0 + 10.0 * abs(x)),
}


def slope(surrogate: Surrogate, x: np.ndarray) -> np.ndarray:
    """The gradient of a spike at the threshold plus x."""
    membrane = torch.from_numpy(x + THRESHOLD).requires_grad_()
    Binary(THRESHOLD, surrogate)(membrane).sum().backward()
    return membrane.grad.numpy()


@pytest.mark.parametrize("surrogate", PRIMITIVES, ids=lambda each: type(each).__name__)
def test_it_is_the_derivative_of_its_primitive(surrogate: Surrogate) -> None:
    step = 1e-5
    x = np.linspace(-2.0, 2.0, 401) + 1e-3  # beside the corners
    primitive = np.vectorize(PRIMITIVES[surrogate])
    expected = (primitive(x + step) - primitive(x - step)) / (2 * step)
    np.testing.assert_allclose(slope(surrogate, x), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("surrogate", "area"),
    [
        (ATan(), 1.0),
        (Sigmoid(), 1.0),
        (Triangular(), 1.0),
        (Rectangular(), 1.0),
        (MultiGaussian(), 0.85),
        (FastSigmoid(), 0.02),
    ],
    ids=lambda each: type(each).__name__,
)
def test_its_area(surrogate: Surrogate, area: float) -> None:
    """An arc tangent has long tails: 1e-4 of its area lies beyond 1000."""
    x = np.arange(-1000.0, 1000.0, 1e-3) + 0.5e-3
    assert slope(surrogate, x).sum() * 1e-3 == pytest.approx(area, abs=4e-4)


def test_the_peak_of_the_default_is_one() -> None:
    assert slope(ATan(), np.zeros(1)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (ATan, "alpha"),
        (Sigmoid, "alpha"),
        (Triangular, "width"),
        (Rectangular, "width"),
        (MultiGaussian, "deviation"),
        (lambda value: MultiGaussian(spread=value), "spread"),
        (FastSigmoid, "slope"),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_shape_without_width_is_refused(make: type[Surrogate], name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}, expected a finite number above 0"):
        make(value)
