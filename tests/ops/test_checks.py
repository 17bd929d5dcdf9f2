"""Bad input to every op is refused in a message with what was given and what was expected."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from _gpu_support import EVERYTHING
from _support import SMALL
from torch import Tensor

from spikescan import InputError, ops

Change = Callable[[Tensor], Tensor]


def elsewhere(tensor: Tensor) -> Tensor:
    return tensor.to("meta")


def whole(tensor: Tensor) -> Tensor:
    return tensor.to(torch.int64)


def imaginary(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex64)


def double(tensor: Tensor) -> Tensor:
    return tensor.double()


def one_more(tensor: Tensor) -> Tensor:
    """In the first axis: of channels, of the batch of a state."""
    return torch.cat([tensor, tensor[:1]])


def last_only(tensor: Tensor) -> Tensor:
    """Without axes but the last."""
    return tensor.reshape(-1, tensor.shape[-1])[0]


PARAMETERS = [
    *[("dynamic_decay", name) for name in ("weight", "bias")],
    *[("sweep", name) for name in ("decay", "gain")],
    *[("causal_conv", name) for name in ("weight", "bias")],
    *[("time_mixing", name) for name in ("weight", "bias")],
]
STATES = [
    *[("dynamic_decay", name) for name in ("membrane", "window")],
    *[("sweep", name) for name in ("membrane", "trace")],
    ("causal_conv", "window"),
]
SEQUENCES = ["dynamic_decay", "sweep", "causal_conv"]


def refused(op: str, argument: str, change: Change, *said: str) -> None:
    """Fail unless the call with one argument changed says this, in this order."""
    case = SMALL[op](torch.float32)
    inputs = case.inputs | {argument: change(case.inputs[argument])}
    with pytest.raises(InputError, match=f"^{op}: .*" + ".*".join(re.escape(part) for part in said)):
        case.call(**inputs)


@pytest.mark.parametrize("op", SEQUENCES)
def test_a_sequence_of_another_rank_channels_or_dtype(op: str) -> None:
    refused(op, "x", last_only, "x is [3]", "expected [T, B, C, *]")
    refused(op, "x", lambda x: x[:, :, :2], "[3", "expected", "2")
    refused(op, "x", whole, "x is torch.int64", "expected a floating point tensor")
    refused(op, "x", imaginary, "x is torch.complex64", "expected a floating point tensor")
    refused(op, "x", elsewhere, "is on cpu", "is on meta")


@pytest.mark.parametrize(
    ("op", "argument"),
    PARAMETERS,
)
def test_a_parameter_elsewhere(op: str, argument: str) -> None:
    refused(op, argument, elsewhere, f"{argument} is on meta", "is on cpu")


@pytest.mark.parametrize(("op", "argument"), PARAMETERS)
def test_a_parameter_of_another_size(op: str, argument: str) -> None:
    size = SMALL[op](torch.float32).inputs[argument].shape[0]
    changed = "bias" if op == "time_mixing" else argument
    refused(
        op,
        argument,
        one_more,
        f"{changed} is [{size + (changed == argument)}",
        "expected",
        f"[{size + (changed != argument)}",
    )


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize(("op", "argument"), PARAMETERS)
def test_a_complex_parameter(op: str, argument: str) -> None:
    refused(op, argument, imaginary, f"{argument} is torch.complex64", "expected")


@pytest.mark.parametrize(("op", "argument"), STATES)
def test_a_state_of_another_batch_dtype_or_device(op: str, argument: str) -> None:
    refused(op, argument, one_more, f"{argument} is [3", "expected [2")
    refused(op, argument, double, f"{argument} is torch.float64", "expected torch.float32")
    refused(op, argument, elsewhere, f"{argument} is on meta", "is on cpu")


@pytest.mark.parametrize("op", SEQUENCES)
@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([6, 0], "from 0 to 6, expected 0 to T = 5"),
        ([5, -1], "from -1 to 5, expected 0 to T = 5"),
        ([5], "torch.int64 [1] on cpu, expected torch.int64 [2]"),
        ([5.0, 1.0], "torch.float32 [2] on cpu, expected torch.int64 [2]"),
    ],
)
def test_lengths_out_of_range(op: str, lengths: list[float], said: str) -> None:
    refused_lengths(op, torch.tensor(lengths), said)


@pytest.mark.parametrize("op", SEQUENCES)
def test_lengths_that_are_no_tensor(op: str) -> None:
    refused_lengths(op, [5, 3], "lengths is a list, expected a Tensor, torch.int64 [2]")


def refused_lengths(op: str, valid: Any, said: str) -> None:
    x, of_channels, taps = torch.zeros(5, 2, 3), torch.zeros(3), torch.zeros(3, 4)
    call = {
        "dynamic_decay": lambda: ops.dynamic_decay(x, taps, of_channels, tau=1.0, firing=ops.IDENTITY, lengths=valid),
        "sweep": lambda: ops.sweep(EVERYTHING, x, (of_channels, of_channels), firing=ops.IDENTITY, lengths=valid),
        "causal_conv": lambda: ops.causal_conv(x, taps, lengths=valid),
    }[op]
    with pytest.raises(InputError, match=re.escape(said)):
        call()


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
def test_a_gate_without_steepness(tau: float) -> None:
    with pytest.raises(InputError, match=f"tau is {tau}, expected a number above 0"):
        ops.dynamic_decay(torch.zeros(5, 2, 3), torch.zeros(3, 4), torch.zeros(3), tau=tau, firing=ops.IDENTITY)


def test_a_filter_without_dilation() -> None:
    with pytest.raises(InputError, match="dilation is 0, expected at least 1"):
        ops.causal_conv(torch.zeros(5, 2, 3), torch.zeros(4), dilation=0)


@pytest.mark.parametrize("argument", ["decay", "drive", "initial"])
def test_a_recurrence_of_what_does_not_broadcast_or_is_elsewhere(argument: str) -> None:
    refused("linear_recurrence", argument, lambda t: t[..., :2], "which does not broadcast to")
    refused("linear_recurrence", argument, whole, f"{argument} is torch.int64", "expected a floating point or complex")
    refused("linear_recurrence", argument, elsewhere, "is on", "but drive is on")


def test_a_recurrence_of_a_plain_number() -> None:
    with pytest.raises(InputError, match=r"decay is a float, expected a Tensor; call torch.as_tensor\(decay\)"):
        ops.linear_recurrence(0.9, torch.zeros(5, 2, 3))  # type: ignore[arg-type]


def test_a_recurrence_without_time() -> None:
    refused("linear_recurrence", "drive", torch.sum, "drive is a scalar, expected [T, ...]")


def test_mixing_of_another_number_of_steps() -> None:
    refused("time_mixing", "x", one_more, "weight is [4, 5] and x is [6, 6]", "expected [T_out, T_in] and [T_in, ...]")
    refused("time_mixing", "x", whole, "x is torch.int64", "expected a floating point")


def test_firing_of_integers() -> None:
    refused("fire", "membrane", whole, "membrane is torch.int64", "expected a floating point tensor")


def test_the_logistic_function_of_integers() -> None:
    refused("sigmoid", "x", whole, "x is torch.int64", "expected a floating point tensor")
