"""The fused leaky integration on the CPU equals the float64 reference for every reset, gradient of the reset and firing."""

import _gpu_support as cases
import pytest
import torch
from _support import KINDS, LAYOUTS, REAL, SHAPES, check, gradcheck, laid_out

from spikescan import ops
from spikescan.errors import InputError
from spikescan.ops import FiringSpec, Kind, Reset, _tiling

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(shape: tuple[int, ...], lengths: bool, dtype: torch.dtype) -> None:
    check(cases.leaky_integration(shape, dtype, Kind.ATAN, Reset.SOFT, lengths=lengths, detach_reset=False))


# A hard reset of what is not a spike has no meaning; it is refused below.
PAIRS = [(reset, kind) for reset in Reset for kind in KINDS if (reset, kind) != (Reset.HARD, Kind.IDENTITY)]


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(("reset", "kind"), PAIRS)
def test_every_reset_and_firing(reset: Reset, kind: Kind, detach: bool) -> None:
    check(cases.leaky_integration((9, 3, 17), torch.float32, kind, reset, detach_reset=detach, lengths=True))


def test_equals_the_reference_over_a_thousand_steps() -> None:
    check(cases.leaky_integration((1000, 1, 3), torch.float32, Kind.ATAN, Reset.HARD))


@pytest.mark.parametrize("lengths", [False, True])
def test_what_is_written_past_the_cache(lengths: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tiling, "_PAST_CACHE", 0)
    check(cases.leaky_integration((9, 4, 16), torch.float32, Kind.ATAN, Reset.SOFT, lengths=lengths))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    case = cases.leaky_integration((5, 2, 3, 2), torch.float32, Kind.ATAN, Reset.SOFT, lengths=True)
    check(laid_out(case, layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("reset", [Reset.NONE, Reset.SOFT])
def test_gradients_are_those_of_finite_differences(reset: Reset, lengths: bool, backend: str) -> None:
    """A soft reset by half of a smooth spike, with its full gradient."""
    case = cases.leaky_integration((5, 2, 3), torch.float64, Kind.IDENTITY, reset, lengths=lengths)
    lengths_given = torch.tensor([5, 2]) if lengths else None

    def call(x, decay, gain, membrane):
        return ops.leaky_integration(
            x, decay, gain, firing=FiringSpec(Kind.IDENTITY, 0.5), reset=reset, detach_reset=False,
            membrane=membrane, lengths=lengths_given,
        )  # fmt: skip

    gradcheck(cases.Case(call, case.inputs, case.outputs), backend)


@pytest.mark.parametrize("reset", Reset)
def test_recomputing_the_membrane_changes_no_bit(reset: Reset) -> None:
    kept, again = (
        cases.evaluate(case, "cpu", case.inputs)
        for case in (
            cases.leaky_integration((63, 2, 17), torch.float32, Kind.ATAN, reset, lengths=True, recompute=recompute)
            for recompute in (False, True)
        )
    )
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name


def test_a_soft_reset_takes_off_the_threshold_and_one_a_level() -> None:
    """One large input at the first step; what is left after the reset."""
    x, one = torch.tensor([2.6]).view(1, 1, 1), torch.ones(1)
    for spec, left in ((FiringSpec(Kind.ATAN, 0.8, 2.0), 1.8), (FiringSpec(Kind.INTEGER, 4.0), -0.4)):
        _, membrane = ops.leaky_integration(x, one, one, firing=spec, reset=Reset.SOFT)
        torch.testing.assert_close(membrane, torch.tensor([[left]]))


@pytest.mark.parametrize("reset", Reset)
def test_large_input_has_finite_gradients(reset: Reset) -> None:
    case = cases.leaky_integration((63, 2, 17), torch.float32, Kind.ATAN, reset, detach_reset=False)
    case.inputs["x"] *= 1e4
    for name, value in cases.evaluate(case, "cpu", case.inputs).items():
        assert value.isfinite().all(), name


def test_a_hard_reset_without_spikes_is_refused() -> None:
    one = torch.ones(3)
    with pytest.raises(InputError, match="hard reset needs spikes"):
        ops.leaky_integration(torch.zeros(2, 1, 3), one, one, firing=FiringSpec(Kind.IDENTITY), reset=Reset.HARD)
