"""The linear recurrence on the CPU equals the float64 reference, in states, final state and every gradient."""

import pytest
import torch
from _gpu_support import Case, Random
from _support import LAYOUTS, REAL, check, gradcheck, laid_out

from spikescan import ops

COMPLEX = (torch.complex64, torch.complex128)
SHAPES = [(0, 3), (1, 1), (2, 17), (63, 3, 5), (127, 33), (7, 0), (5, 2, 3, 2)]

pytestmark = pytest.mark.usefixtures("poisoned")


def recurrence(shape: tuple[int, ...], decay: str, dtype: torch.dtype, size: float = 1.0) -> Case:
    """Decays of absolute value below `size`, of one of the shapes that broadcast to the drive's."""
    random = Random("cpu", dtype)
    T, *rest = shape
    decays = random(
        *{"full": shape, "channel": (rest[0], *[1] * len(rest[1:])), "scalar": (), "time": (T, *[1] * len(rest))}[decay]
    )
    inputs = {"decay": size * decays / (1.0 + decays.abs()), "drive": random(*shape), "initial": random(*rest)}
    return Case(ops.linear_recurrence, inputs, ("states", "final"))


@pytest.mark.parametrize("dtype", [*REAL, *COMPLEX])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check(recurrence(shape, "full", dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("decay", ["channel", "scalar", "time"])
@pytest.mark.parametrize("shape", SHAPES)
def test_broadcasts_the_decay(shape: tuple[int, ...], decay: str, dtype: torch.dtype) -> None:
    check(recurrence(shape, decay, dtype))


def test_equals_the_reference_over_a_thousand_steps() -> None:
    check(recurrence((1000, 2, 3), "full", torch.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(recurrence((5, 3, 7), "full", torch.float32), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("decay", ["full", "channel", "scalar"])
def test_gradients_are_those_of_finite_differences(decay: str, dtype: torch.dtype, backend: str) -> None:
    gradcheck(recurrence((4, 3), decay, dtype), backend)


def test_a_real_decay_of_a_complex_drive_has_a_real_gradient() -> None:
    case = recurrence((5, 3), "full", torch.complex128)
    case.inputs["decay"] = case.inputs["decay"].real.clone()
    gradcheck(case, "cpu")


@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0])
def test_decays_that_vanish_and_that_keep_all(size: float) -> None:
    """A product of 300 decays of 1e-30 underflows; nothing may divide by it."""
    case = recurrence((300, 3), "full", torch.float32)
    case.inputs["decay"] = torch.full((300, 3), size)
    check(case)


def test_without_an_initial_state_it_starts_at_zero() -> None:
    case = recurrence((5, 3), "full", torch.float64)
    decay, drive = case.inputs["decay"], case.inputs["drive"]
    states, _ = ops.linear_recurrence(decay, drive)
    assert torch.equal(states, ops.linear_recurrence(decay, drive, torch.zeros(3, dtype=torch.float64))[0])
    assert torch.equal(states[0], drive[0])


def test_half_precision_carries_a_float32_state() -> None:
    states, final = ops.linear_recurrence(
        torch.ones(3, dtype=torch.bfloat16), torch.ones(1000, 3, dtype=torch.bfloat16)
    )
    assert (states.dtype, final.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(final, torch.full((3,), 1000.0))  # in bfloat16 the sum would stand still at 256


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_gradient_that_is_to_be_conjugated(backend: str) -> None:
    """What comes before the recurrence gets the conjugate of its output's gradient, which torch hands over lazily."""
    case = recurrence((5, 3), "full", torch.complex128)
    found = []
    for output in (lambda states: states.conj(), lambda states: states.conj().resolve_conj()):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.inputs.items()}
        with ops.backend(backend):
            states, final = ops.linear_recurrence(**leaves)
            loss = (output(states) * case.inputs["drive"]).real.sum() + (
                output(final) * case.inputs["initial"]
            ).real.sum()
            found.append(torch.autograd.grad(loss, list(leaves.values())))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    # Nothing but its own output depends on the last step.
    torch.testing.assert_close(found[0][1][-1], case.inputs["drive"][-1] + case.inputs["initial"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("decay", ["full", "channel"])
@pytest.mark.parametrize("shape", [(1, 1), (63, 3, 5), (66, 1200), (9, 3, 1400)])
def test_a_decay_that_nobody_learns_changes_no_other_gradient(
    shape: tuple[int, ...], decay: str, dtype: torch.dtype
) -> None:
    case = recurrence(shape, decay, dtype)
    found = []
    for learnt in (True, False):
        leaves = {
            name: tensor.clone().requires_grad_(learnt or name != "decay") for name, tensor in case.inputs.items()
        }
        states, final = ops.linear_recurrence(**leaves)
        loss = states.abs().square().sum() + final.abs().square().sum()
        found.append(torch.autograd.grad(loss, [leaves["drive"], leaves["initial"]]))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("learnt", [False, True])
def test_states_are_kept_for_the_gradient_of_the_decay_alone(learnt: bool) -> None:
    decay, drive, kept = torch.rand(3, requires_grad=learnt), torch.randn(5, 3, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        states, _ = ops.linear_recurrence(decay, drive)
    assert any(tensor.data_ptr() == states.data_ptr() for tensor in kept) == learnt


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("neurons", [12, 16, 20])
def test_rows_that_are_no_whole_lines_of_the_cache(neurons: int, dtype: torch.dtype) -> None:
    """More than is written through the cache, in steps that begin anywhere; without memory the states are the drive."""
    drive = torch.randn((1 << 22) // (4 * neurons) + 9, neurons, dtype=dtype, requires_grad=True)
    decay = torch.zeros(drive.shape, dtype=dtype, requires_grad=True)
    states, _ = ops.linear_recurrence(decay, drive)
    grad = torch.randn_like(drive)
    of_decay, of_drive = torch.autograd.grad(states, (decay, drive), grad)
    assert torch.equal(states, drive)
    assert torch.equal(of_drive, grad)
    torch.testing.assert_close(of_decay[1:], grad[1:] * drive[:-1].conj())
