"""The functions that kernels compute with, against numpy in higher precision."""

import numpy as np
import pytest

from spikescan.ops._compile import inline
from spikescan.ops._simd import BYTES, exp, exp2, load, part, rint, row, sigmoid, store, whole

EXP2, EXP, SIGMOID, RINT = range(4)


@inline
def _group(x, out, n, group, which):
    a = load(x, n, group)
    if which == EXP2:
        a = exp2(a)
    elif which == EXP:
        a = exp(a)
    elif which == SIGMOID:
        a = sigmoid(a)
    else:
        a = rint(a)
    store(out, n, a, group)


@inline
def _apply(x_at, out_at, like, size, which):
    x, out = row(x_at, size, like), row(out_at, size, like)
    step = BYTES // x.itemsize
    for n in range(0, size, step):
        if size - n >= step:
            _group(x, out, n, whole(x), which)
        else:
            _group(x, out, n, part(x, size - n), which)


def apply(which: int, x: np.ndarray) -> np.ndarray:
    out = np.full_like(x, np.nan)
    _apply(x.ctypes.data, out.ctypes.data, x.dtype.type(0), x.size, which)
    return out


def error_in_units(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """In units in the last place of the result."""
    return np.abs(actual.astype(np.longdouble) - expected) / np.spacing(np.abs(expected).astype(actual.dtype))


@pytest.fixture(params=[np.float32, np.float64])
def x(request: pytest.FixtureRequest) -> np.ndarray:
    """Dense where functions bend, to the ends of the range that they hold; no whole number of vectors."""
    random = np.random.default_rng(0)
    return np.concatenate([random.uniform(-2, 2, 5003), random.uniform(-80, 80, 5003), [0.0, 0.5, -0.5]]).astype(
        request.param
    )


def test_exp2_is_within_two_units(x: np.ndarray) -> None:
    assert error_in_units(apply(EXP2, x), np.exp2(x.astype(np.longdouble))).max() <= 2.0


def test_exp2_of_integers_is_exact(x: np.ndarray) -> None:
    whole_numbers = np.arange(-126, 127, dtype=x.dtype)
    assert np.array_equal(apply(EXP2, whole_numbers), np.exp2(whole_numbers))


def test_exp2_is_held_within_its_range(x: np.ndarray) -> None:
    far = np.array([-np.inf, -1e4, -127, 127, 1e4, np.inf, np.nan], x.dtype)
    low, high = x.dtype.type(2.0**-126), x.dtype.type(2.0**126)
    assert np.array_equal(apply(EXP2, far), np.array([low, low, low, high, high, high, np.nan]), equal_nan=True)


def test_exp_is_within_two_units_and_its_argument(x: np.ndarray) -> None:
    assert np.all(error_in_units(apply(EXP, x), np.exp(x.astype(np.longdouble))) <= 2.0 + 1.2 * np.abs(x))


def test_sigmoid_is_within_three_units_and_its_argument(x: np.ndarray) -> None:
    expected = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    assert np.all(error_in_units(apply(SIGMOID, x), expected) <= 3.0 + 1.2 * np.abs(x))


def test_rounding_is_half_to_even(x: np.ndarray) -> None:
    halves = np.arange(-5, 6, dtype=x.dtype) + x.dtype.type(0.5)
    assert np.array_equal(apply(RINT, halves), np.rint(halves))
    assert np.array_equal(apply(RINT, x), np.rint(x))


def test_a_rest_of_a_vector_writes_nothing_beside_it(x: np.ndarray) -> None:
    """Every size up to two vectors, with a guard behind."""
    for size in range(2 * BYTES // x.itemsize + 1):
        out = np.full(size + 64, np.nan, x.dtype)
        source = x[:size].copy()
        _apply(source.ctypes.data, out.ctypes.data, x.dtype.type(0), size, RINT)
        assert np.array_equal(out[:size], np.rint(source))
        assert np.isnan(out[size:]).all()


def test_a_neuron_has_the_same_bits_wherever_it_stands(x: np.ndarray) -> None:
    whole_row = apply(EXP, x)
    for offset in (1, 7, 31):
        assert np.array_equal(apply(EXP, x[offset:].copy()), whole_row[offset:])
