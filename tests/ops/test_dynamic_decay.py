"""The fused dynamic decay on the CPU equals the float64 reference, and its own parts called one after the other."""

import _gpu_support as cases
import pytest
import torch
from _support import KINDS, LAYOUTS, REAL, SHAPES, check, check_spikes, gradcheck, laid_out, wide

from spikescan import ops
from spikescan.ops import Kind, _tiling
from spikescan.ops.dynamic_decay import dynamic_decay_step
from spikescan.ops.dynamic_decay.cpu import KEEP_EVERY

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(shape: tuple[int, ...], lengths: bool, dtype: torch.dtype) -> None:
    check(cases.dynamic_decay(shape, dtype, Kind.INTEGER, lengths=lengths))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_firing(kind: Kind) -> None:
    check(cases.dynamic_decay((9, 2, 17), torch.float32, kind, lengths=True))


def test_equals_the_reference_over_a_thousand_steps() -> None:
    check(cases.dynamic_decay((1000, 1, 3), torch.float32, Kind.ATAN))


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("channels", [1030, 480, 303])
def test_equals_the_reference_in_tiles_of_any_length(channels: int, lengths: bool) -> None:
    _, tile = _tiling.tiling(2 * channels, 4, 4)
    assert tile == {1030: 8, 480: 16, 303: 24}[channels]
    assert tile % KEEP_EVERY == 0
    check(cases.dynamic_decay((2 * tile + 3, 2, channels), torch.float32, Kind.ATAN, lengths=lengths))


# The power of the gate is squared where 1 / tau is a power of two, and of a logarithm where it is not.
@pytest.mark.parametrize(
    ("k", "tau", "dtype", "kind"),
    [
        (1, 0.25, torch.float32, Kind.ATAN),
        (2, 1.0, torch.float32, Kind.ATAN),
        (4, 0.3, torch.float32, Kind.ATAN),
        (4, 0.3, torch.float64, Kind.IDENTITY),
    ],
)
def test_every_kernel_size_and_power(k: int, tau: float, dtype: torch.dtype, kind: Kind) -> None:
    check(cases.dynamic_decay((7, 3, 5), dtype, kind, k=k, tau=tau, lengths=True))


@pytest.mark.parametrize("lengths", [False, True])
def test_what_is_written_past_the_cache(lengths: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tiling, "_PAST_CACHE", 0)
    check(cases.dynamic_decay((9, 4, 16), torch.float32, Kind.ATAN, lengths=lengths))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.dynamic_decay((5, 2, 3, 2), torch.float32, Kind.ATAN, lengths=True), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("tau", [0.25, 0.3])
def test_gradients_are_those_of_finite_differences(tau: float, lengths: bool, backend: str) -> None:
    case = cases.dynamic_decay((5, 2, 3), torch.float64, Kind.IDENTITY, tau=tau, lengths=lengths)
    gradcheck(case, backend)


@pytest.mark.parametrize("lengths", [False, True])
def test_recomputing_the_membrane_changes_no_bit(lengths: bool) -> None:
    kept, again = (
        cases.evaluate(case, "cpu", case.inputs)
        for case in (
            cases.dynamic_decay((63, 2, 17), torch.float32, Kind.ATAN, lengths=lengths, recompute=recompute)
            for recompute in (False, True)
        )
    )
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name


@pytest.mark.parametrize(("tau", "kind"), [(0.25, Kind.INTEGER), (0.3, Kind.IDENTITY)])
def test_equals_its_parts(tau: float, kind: Kind) -> None:
    """Filter, gate, recurrence and firing as four operations."""
    fused = cases.dynamic_decay((63, 2, 17, 2), torch.float64, kind, tau=tau)

    def parts(x, weight, bias, membrane, window):
        gate, window = ops.causal_conv(x, weight, bias, window=window)
        log_decay = torch.nn.functional.logsigmoid(gate) / tau
        states, membrane = ops.linear_recurrence(log_decay.exp(), -torch.expm1(log_decay) * x, membrane)
        return ops.fire(states, cases.FIRINGS[kind]), membrane, window

    expected = cases.evaluate(cases.Case(parts, fused.inputs, fused.outputs), "cpu", fused.inputs)
    for name, value in cases.evaluate(fused, "cpu", fused.inputs).items():
        assert cases.relative_error(value, expected[name]) < 1e-12, name


@pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.ATAN])
def test_spikes_differ_only_within_rounding_of_a_threshold(kind: Kind) -> None:
    case = cases.dynamic_decay((63, 8, 129), torch.float32, kind)
    with ops.backend("cpu"):
        spikes, *_ = case.call(**case.inputs)
    with ops.backend("reference"):
        membrane, *_ = cases.dynamic_decay((63, 8, 129), torch.float32, Kind.IDENTITY).call(**wide(case.inputs))
    check_spikes(spikes, membrane, cases.FIRINGS[kind])


@pytest.mark.parametrize("tau", [0.25, 0.3])
def test_large_input_has_finite_gradients(tau: float) -> None:
    """Gates of +-1e4 and decays of exactly 0 and 1."""
    case = cases.dynamic_decay((63, 2, 17), torch.float32, Kind.ATAN, tau=tau, size=1e4)
    for name, value in cases.evaluate(case, "cpu", case.inputs).items():
        assert value.isfinite().all(), name


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_one_step_is_the_sequence_of_one(dtype: torch.dtype, layout: str, backend: str) -> None:
    """Bit by bit, whether the tensors are plain enough for the short way or not."""
    inputs = cases.dynamic_decay((1, 3, 5, 2), dtype, Kind.INTEGER).inputs
    if layout == "transposed":
        inputs = {name: tensor.movedim(0, -1).contiguous().movedim(-1, 0) for name, tensor in inputs.items()}
    options = {"tau": 0.25, "firing": cases.FIRINGS[Kind.INTEGER]}
    with ops.backend(backend):
        sequence = ops.dynamic_decay(**inputs, **options)
        one = dynamic_decay_step(inputs.pop("x")[0], **inputs, **options)
    for name, actual, expected in zip(("spikes", "membrane", "window"), one, sequence, strict=True):
        expected = expected.squeeze(0) if name == "spikes" else expected
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), name
        assert torch.equal(actual, expected), name


def test_one_step_has_gradients() -> None:
    inputs = cases.dynamic_decay((1, 3, 5), torch.float64, Kind.IDENTITY).inputs

    def step(x, **state):
        return dynamic_decay_step(x, tau=0.25, firing=ops.IDENTITY, **state)

    gradcheck(cases.Case(step, inputs | {"x": inputs["x"][0]}, ("spikes", "membrane", "window")), "cpu")
