"""The Triton kernels against the float64 reference: outputs, final states and every gradient by name.

Not collected by itself: `test_gpu_numeric.py` runs it under Triton's interpreter. On a CUDA machine
``pytest tests/ops/gpu_numeric.py`` runs it on the GPU.
"""

import dataclasses
import os
from collections.abc import Iterator

import _gpu_support as support
import pytest
import torch

from spikescan import ops
from spikescan.ops import Kind, Reset, _triton

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
pytestmark = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no GPU, no interpreter")
DEVICE = "cpu" if INTERPRETED else "cuda"
F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with support.poisoned_memory():
        yield


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short sequences are cut too."""
    monkeypatch.setattr(_triton, "CHUNKED_FROM", 2)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
def test_fire(kind: Kind, dtype: torch.dtype) -> None:
    support.check(support.fire((7, 5, 3), dtype, kind, device=DEVICE))


@pytest.mark.parametrize("size", [2.0, 20.0])
@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
def test_sigmoid(dtype: torch.dtype, size: float) -> None:
    support.check(support.sigmoid((7, 5, 3), dtype, device=DEVICE, size=size))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
def test_dropout(dtype: torch.dtype, p: float) -> None:
    support.check(support.dropout((7, 5, 33), dtype, device=DEVICE, p=p))


@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
def test_linear(dtype: torch.dtype) -> None:
    support.check(support.linear(33, 17, 5, dtype, density=0.3, device=DEVICE))


@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
def test_layer_norm(dtype: torch.dtype) -> None:
    support.check(support.layer_norm(33, 17, dtype, device=DEVICE))


@pytest.mark.parametrize("kind", Kind)
def test_fire_far_from_the_threshold(kind: Kind) -> None:
    support.check(support.fire((63,), F32, kind, device=DEVICE, size=1e4))


def test_rounding_is_half_to_even_and_nan_stays() -> None:
    h = torch.tensor([-0.5, 0.5, 1.5, 2.5, 3.5, 2.4999998, float("inf"), -float("inf"), float("nan")], device=DEVICE)
    with ops.backend("gpu"):
        integer = ops.fire(h, support.FIRINGS[Kind.INTEGER])
        binary = ops.fire(h, support.FIRINGS[Kind.ATAN])
    assert torch.equal(integer[:-1].cpu(), torch.tensor([0.0, 0, 2, 2, 3, 2, 3, 0]))
    assert integer[-1].isnan()
    assert torch.equal(binary.cpu(), torch.tensor([0.0, 1, 1, 1, 1, 1, 1, 0, 0]))


@pytest.mark.parametrize("dtype", [F32, F64, torch.complex64, torch.complex128, BF16])
@pytest.mark.parametrize(("T", "N", "rows"), [(0, 3, None), (1, 5, None), (2, 3, 1), (7, 5, None), (7, 0, None)])
def test_linear_recurrence(T: int, N: int, rows: int | None, dtype: torch.dtype) -> None:
    support.check(support.linear_recurrence(T, N, dtype, rows=rows, device=DEVICE))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    ("T", "rows", "dtype"),
    [(63, None, F32), (31, 1, F32), (31, None, torch.complex128), (31, 1, torch.complex64)],
)
def test_linear_recurrence_in_chunks(T: int, rows: int | None, dtype: torch.dtype) -> None:
    support.check(support.linear_recurrence(T, 3, dtype, rows=rows, device=DEVICE))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("rows", [1, None])
@pytest.mark.parametrize("T", [7, 31])
def test_linear_recurrence_of_a_decay_that_nobody_learns(T: int, rows: int | None) -> None:
    case = support.linear_recurrence(T, 3, F32, rows=rows, device=DEVICE)
    decay = case.inputs.pop("decay")
    support.check(dataclasses.replace(case, call=lambda **inputs: case.call(decay=decay.to(inputs["drive"]), **inputs)))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("size", [0.0, 1e-30])
def test_linear_recurrence_of_vanishing_decay(size: float) -> None:
    support.check(support.linear_recurrence(15, 3, F32, device=DEVICE, size=size))


@pytest.mark.parametrize("kind", Kind)
def test_dynamic_decay_of_every_kind(kind: Kind) -> None:
    support.check(support.dynamic_decay((7, 2, 3, 2), F32, kind, device=DEVICE))


@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
@pytest.mark.parametrize(
    ("shape", "k", "tau", "lengths"),
    [
        ((0, 2, 3), 4, 0.25, False),
        ((1, 2, 3), 4, 0.25, True),
        ((2, 1, 1), 2, 1.0, False),
        ((7, 0, 3), 4, 0.25, False),
        ((7, 3, 5, 2, 1), 5, 0.3, True),
        ((7, 5, 3), 1, 0.5, True),
    ],
)
def test_dynamic_decay(shape: tuple[int, ...], k: int, tau: float, lengths: bool, dtype: torch.dtype) -> None:
    support.check(support.dynamic_decay(shape, dtype, Kind.INTEGER, k=k, tau=tau, lengths=lengths, device=DEVICE))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    ("shape", "dtype", "kind", "k", "tau"),
    [
        ((63, 2, 3, 2), F32, Kind.INTEGER, 4, 0.25),
        ((31, 3, 1), BF16, Kind.ATAN, 3, 0.3),
        ((15, 2, 3), F64, Kind.MULTI_GAUSSIAN, 1, 0.3),
        ((7, 2, 3), F64, Kind.SIGMOID, 5, 1.0),
    ],
)
def test_dynamic_decay_in_chunks(shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, k: int, tau: float) -> None:
    support.check(support.dynamic_decay(shape, dtype, kind, k=k, tau=tau, lengths=True, device=DEVICE))


@pytest.mark.usefixtures("chunks")
def test_nothing_beyond_a_length_is_seen() -> None:
    lengths = torch.tensor([5, 0], device=DEVICE)
    seen = []
    for padding in (0.0, float("nan")):
        inputs = support.dynamic_decay((15, 2, 3), F32, Kind.ATAN, device=DEVICE).inputs
        x, weight, bias = (inputs[name].clone() for name in ("x", "weight", "bias"))
        x[5:, 0], x[:, 1] = padding, padding
        leaves = [leaf.requires_grad_() for leaf in (x, weight, bias)]
        with ops.backend("gpu"):
            spikes, membrane, _ = ops.dynamic_decay(
                *leaves, tau=0.25, firing=support.FIRINGS[Kind.ATAN], lengths=lengths
            )
            (spikes.sum() + membrane.sum()).backward()
        seen.append([spikes, membrane, *(leaf.grad for leaf in leaves)])
    assert all(torch.equal(clean, padded) for clean, padded in zip(*seen, strict=True))


def test_dynamic_decay_of_127_steps_in_one_walk() -> None:
    support.check(support.dynamic_decay((127, 1, 3), F32, Kind.INTEGER, device=DEVICE))


@pytest.mark.parametrize("tau", [0.25, 0.3])
def test_dynamic_decay_of_large_input_has_no_nan(tau: float) -> None:
    """Gates of -1e4 and 1e4: decays of exactly 0 and 1."""
    support.check(support.dynamic_decay((7, 2, 5), F32, Kind.ATAN, tau=tau, size=1e4, device=DEVICE))


@pytest.mark.parametrize("tau", [0.125, 0.3, 4.0])
def test_gate_is_exact_where_the_decay_nears_one(tau: float) -> None:
    """1 - decay is as small as 1e-13 there: a difference from 1 would have no digit right."""
    bias = torch.linspace(-30.0, 30.0, 61, device=DEVICE)
    x, weight = torch.ones(1, 1, 61, device=DEVICE), torch.zeros(61, 1, device=DEVICE)
    spec = support.FIRINGS[Kind.IDENTITY]
    with ops.backend("gpu"):
        actual, *_ = ops.dynamic_decay(x, weight, bias, tau=tau, firing=spec)
    expected = -torch.expm1(torch.nn.functional.logsigmoid(bias.double()) / tau)
    torch.testing.assert_close(actual.flatten().double(), expected, rtol=support.TOLERANCE[F32], atol=0.0)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(
    ("reset", "kind"),
    [
        (reset, kind)
        for reset in Reset
        for kind in (Kind.INTEGER, Kind.ATAN, Kind.IDENTITY)
        if (reset, kind) != (Reset.HARD, Kind.IDENTITY)  # refused: no spikes to reset by
    ],
)
def test_leaky_integration_of_every_reset(reset: Reset, kind: Kind, detach: bool) -> None:
    case = support.leaky_integration((7, 3, 3, 2), F32, kind, reset, detach_reset=detach, lengths=True, device=DEVICE)
    support.check(case)


@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 2, 3), (2, 1, 1), (7, 0, 3), (31, 2, 3)])
def test_leaky_integration(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    case = support.leaky_integration(
        shape, dtype, Kind.SIGMOID, Reset.SOFT, detach_reset=False, lengths=shape[0] == 2, device=DEVICE
    )
    support.check(case)


@pytest.mark.parametrize("dtype", [F32, F64, BF16])
@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 2, 3), (7, 0, 3), (31, 3, 5, 2)])
def test_sweep_of_every_operation(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    support.check(support.sweep(shape, dtype, Kind.IDENTITY, lengths=True, device=DEVICE))
    support.check(support.of_input(support.sweep(shape, dtype, Kind.IDENTITY, lengths=True, device=DEVICE)))


@pytest.mark.parametrize("op", support.PADDED)
def test_what_lies_beyond_the_lengths_counts_for_nothing(op: str) -> None:
    support.check_padding(op, (7, 2, 5), "gpu", device=DEVICE)


@pytest.mark.parametrize("recompute", [True, False])
def test_kept_and_recomputed_membranes_give_the_same(recompute: bool) -> None:
    shape = (7, 2, 3)
    support.check(support.dynamic_decay(shape, F32, Kind.ATAN, recompute=recompute, lengths=True, device=DEVICE))
    case = support.leaky_integration(shape, F32, Kind.ATAN, Reset.HARD, recompute=recompute, device=DEVICE)
    support.check(case)


@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
@pytest.mark.parametrize(
    ("shape", "k", "dilation", "shared"),
    [
        ((0, 2, 3), 2, 1, False),
        ((1, 2, 3), 3, 2, False),
        ((2, 3, 5, 2), 4, 1, True),
        ((7, 0, 3), 4, 1, False),
        ((7, 2, 3), 1, 1, False),
        ((13, 2, 3), 3, 3, False),
    ],
)
def test_causal_conv(shape: tuple[int, ...], k: int, dilation: int, shared: bool, dtype: torch.dtype) -> None:
    case = support.causal_conv(
        shape, dtype, Kind.SIGMOID, k=k, dilation=dilation, shared=shared, lengths=shape[0] == 13, device=DEVICE
    )
    support.check(case)


@pytest.mark.parametrize("kind", Kind)
def test_causal_conv_of_every_kind(kind: Kind) -> None:
    support.check(support.causal_conv((7, 2, 3), F32, kind, k=2, device=DEVICE))


@pytest.mark.parametrize("dtype", [F32, F64, BF16, F16])
@pytest.mark.parametrize(("steps", "shape"), [(7, (7, 2, 3)), (1, (63, 5)), (17, (0, 3)), (0, (5, 3)), (70, (33, 65))])
def test_time_mixing(steps: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    support.check(support.time_mixing(steps, shape, dtype, Kind.ATAN, device=DEVICE))


@pytest.mark.parametrize("order", [1, 4, 70])
@pytest.mark.parametrize(("steps", "inputs"), [(66, 66), (5, 8), (1, 4)])
def test_banded_time_mixing(steps: int, inputs: int, order: int) -> None:
    support.check(support.time_mixing(steps, (inputs, 17), F32, Kind.ATAN, order=order, device=DEVICE))


def test_time_mixing_of_integer_spikes() -> None:
    support.check(support.time_mixing(9, (9, 5), F32, Kind.INTEGER, device=DEVICE))
