"""The functions that kernels compute with, against numpy in higher precision."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding

from spikescan.ops._compile import inline, kernel
from spikescan.ops._simd import BYTES, exp2_of, load, part, row, static, store, traced, whole
from spikescan.ops.dynamic_decay._gate import dynamic_gate, shut

RINT, EXP2 = 0, 1
DECAY, LEAK, REST = 2, 3, 4
EXPONENTS = {4.0: static(2), 1.0 / 0.3: None}  # the squarings that make the power, if any do


@traced
def _rint(a):
    return a.llvm("rint")


@traced
def _exp2(a):
    return exp2_of(a)


@inline
def _group(x, out, n, group, which, exponent, squarings):
    a = load(x, n, group)
    decay, leak, rest = dynamic_gate(shut(a, squarings), exponent, squarings)
    if which == RINT:
        a = _rint(a)
    elif which == EXP2:
        a = _exp2(a)
    elif which == DECAY:
        a = decay
    elif which == LEAK:
        a = leak
    else:
        a = rest
    store(out, n, a, group)


@kernel
def _apply(x_at, out_at, like, size, which, exponent, squarings):
    x, out = row(x_at, size, like), row(out_at, size, like)
    step = BYTES // x.itemsize
    for n in range(0, size, step):
        if size - n >= step:
            _group(x, out, n, whole(x), which, exponent, squarings)
        else:
            _group(x, out, n, part(x, size - n), which, exponent, squarings)


def apply(which: int, x: np.ndarray, exponent: float = 4.0, guard: int = 0) -> np.ndarray:
    """The function of each number, and `guard` numbers behind that nobody may write."""
    out = np.full(x.size + guard, np.nan, x.dtype)
    _apply(x.ctypes.data, out.ctypes.data, x.dtype.type(0), x.size, which, exponent, EXPONENTS[exponent])
    return out


def error_in_units(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """In units in the last place of the result."""
    return np.abs(actual.astype(np.longdouble) - expected) / np.spacing(np.abs(expected).astype(actual.dtype))


@pytest.fixture(params=[np.float32, np.float64])
def x(request: pytest.FixtureRequest) -> np.ndarray:
    """Dense where functions bend, and far; no whole number of vectors."""
    random = np.random.default_rng(0)
    near, far = random.uniform(-2, 2, 5003), random.uniform(-28, 28, 5003)
    return np.concatenate([near, far, [0.0, 0.5, -0.5]]).astype(request.param)


def test_exp2_is_within_two_units(x: np.ndarray) -> None:
    assert error_in_units(apply(EXP2, 4 * x), np.exp2(4 * x.astype(np.longdouble))).max() <= 2.0


def test_exp2_of_integers_is_exact(x: np.ndarray) -> None:
    integers = np.arange(-126, 127, dtype=x.dtype)
    assert np.array_equal(apply(EXP2, integers), np.exp2(integers))


def test_exp2_is_held_within_its_range(x: np.ndarray) -> None:
    far = np.array([-np.inf, -1e4, -127, 127, 1e4, np.inf, np.nan], x.dtype)
    low, high = x.dtype.type(2.0**-126), x.dtype.type(2.0**126)
    assert np.array_equal(apply(EXP2, far), np.array([low, low, low, high, high, high, np.nan]), equal_nan=True)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_gate_does_not_cancel(x: np.ndarray, exponent: float) -> None:
    """Decays within 1e-8 of 1: 1 - decay as a difference would have no digit right in float32.

    Near 0 the power of a logarithm keeps its digits too; one of squarings is right to within eps, which is what the sum that it
    goes into is rounded to.
    """
    softplus = np.log1p(np.exp2(x.astype(np.longdouble)))  # -log(sigmoid(a)); a gate is given a' = -log2(e) a
    rest = -np.expm1(-softplus)
    log_decay = -softplus * np.longdouble(exponent)
    decay, exact = apply(DECAY, x, exponent), np.exp(log_decay)
    if EXPONENTS[exponent] is None:  # the relative error of a power grows with its logarithm
        allowed = (16 + 2 * np.abs(log_decay)) * np.spacing(exact.astype(x.dtype))
    else:
        allowed = np.full_like(exact, 3 * np.finfo(x.dtype).eps)
    assert np.all(np.abs(decay - exact) <= allowed)
    assert np.all(error_in_units(apply(LEAK, x, exponent), -np.expm1(log_decay)) <= 16)
    assert np.all(error_in_units(apply(REST, x, exponent), rest) <= 8)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_a_far_gate_is_open_or_closed(x: np.ndarray, exponent: float) -> None:
    far = np.array([-np.inf, -1e5, 1e5, np.inf], x.dtype)
    np.testing.assert_allclose(apply(DECAY, far, exponent), [1, 1, 0, 0], rtol=0, atol=1e-37)
    np.testing.assert_allclose(apply(LEAK, far, exponent), [0, 0, 1, 1], rtol=0, atol=1e-37)


def test_rounding_is_half_to_even(x: np.ndarray) -> None:
    halves = np.arange(-5, 6, dtype=x.dtype) + x.dtype.type(0.5)
    assert np.array_equal(apply(RINT, halves), np.rint(halves))
    assert np.array_equal(apply(RINT, x), np.rint(x))


def test_a_rest_of_a_vector_writes_nothing_beside_it(x: np.ndarray) -> None:
    for size in range(2 * BYTES // x.itemsize + 1):
        out = apply(RINT, x[:size].copy(), guard=64)
        assert np.array_equal(out[:size], np.rint(x[:size]))
        assert np.isnan(out[size:]).all()


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_a_neuron_has_the_same_bits_wherever_it_stands(x: np.ndarray, exponent: float) -> None:
    whole_row = apply(DECAY, x, exponent)
    for offset in (1, 7, 31):
        assert np.array_equal(apply(DECAY, x[offset:].copy(), exponent), whole_row[offset:])


@pytest.mark.parametrize("left_out", ["avx512f", "avx2"])
def test_bits_do_not_depend_on_the_registers_of_the_processor(left_out, tmp_path):
    """Kernels compiled for a lesser processor: other registers, and in place of AVX-512 another vector too."""
    features = binding.get_host_cpu_features()
    if not features.get(left_out):
        pytest.skip(f"this processor has no {left_out}")
    kept = {name: has and not name.startswith(("avx512", left_out)) for name, has in features.items()}
    lesser = ",".join(f"{'+' if has else '-'}{name}" for name, has in kept.items())
    run = functools.partial(subprocess.run, [sys.executable, "-c", _BITS], capture_output=True, text=True, check=True)
    here = run(env=dict(os.environ))
    there = run(env=os.environ | {"NUMBA_CPU_FEATURES": lesser, "NUMBA_CPU_NAME": "generic"})
    assert len(here.stdout.split()) == 3
    assert there.stdout == here.stdout


_BITS = """
import hashlib
import torch
import spikescan

torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(70, 3, 37, requires_grad=True)
spikes, state = spikescan.DSN(37)(x)
(grad,) = torch.autograd.grad(spikes.sum() + state.membrane.sum(), x)
for tensor in spikes, state.membrane, grad:
    print(hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest())
"""
