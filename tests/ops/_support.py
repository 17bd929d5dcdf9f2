"""What the tests of ops share. The cases are those of the Triton kernels (`_gpu_support`): one set for all backends."""

import dataclasses

import _gpu_support
import torch
from _gpu_support import Case, evaluate, relative_error
from torch import Tensor

from spikescan import ops
from spikescan.ops import FiringSpec, Kind

# Relative root mean square error allowed to the CPU kernels, by the dtype of what is compared.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.complex128: 1e-12,
    torch.float32: 2e-6,
    torch.complex64: 2e-6,
    torch.float16: 1e-3,  # gradients of two ways are rounded each, and their sum
    torch.bfloat16: 8e-3,
}
REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

# One of each way through a kernel; the other surrogates differ only in what `fire` tests. Each is compiled by itself.
KINDS = (Kind.IDENTITY, Kind.INTEGER, Kind.ATAN, Kind.MULTI_GAUSSIAN)

# [T, B, C, *]: empty in each axis, one step, a rest after whole vectors, one and several axes of space; the last two are
# several blocks of neurons and tiles of time, narrow and wide.
SHAPES = [
    (0, 2, 3), (1, 1, 1), (2, 3, 17), (63, 2, 3, 5), (127, 2, 33), (7, 0, 3), (5, 2, 0), (5, 2, 3, 2, 2),
    (66, 2, 600), (6, 3, 1400),
]  # fmt: skip
LAYOUTS = ["transposed", "strided", "lazy"]


def check(case: Case) -> None:
    """Fail with the name of every output and gradient in which the CPU kernels leave the float64 reference."""
    actual = evaluate(case, "cpu", case.inputs)
    expected = evaluate(case, "reference", wide(case.inputs), [actual[name].dtype for name in case.outputs])
    off = {}
    for name, value in actual.items():
        assert value.shape == expected[name].shape, f"{name} is {value.shape}, expected {expected[name].shape}"
        error = relative_error(value, expected[name])
        if not error <= TOLERANCE[value.dtype]:  # also where it is NaN
            off[name] = f"{error:.2g} > {TOLERANCE[value.dtype]:.2g}"
    assert not off, f"relative errors above tolerance: {off}"


def wide(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers in double precision."""
    return {n: t.to(torch.complex128 if t.is_complex() else torch.float64) for n, t in inputs.items()}


def laid_out(case: Case, layout: str) -> Case:
    """The same call on tensors whose memory is not their numbers in a row: not contiguous, or to be negated or conjugated."""

    def view(tensor: Tensor) -> Tensor:
        if layout == "lazy":
            return tensor.conj().resolve_conj().conj() if tensor.is_complex() else torch._neg_view(tensor.neg())
        if layout == "strided" or tensor.ndim == 0:
            return torch.stack([tensor, tensor], -1)[..., 0]
        return tensor.movedim(0, -1).contiguous().movedim(-1, 0)

    return dataclasses.replace(case, call=lambda **inputs: case.call(**{n: view(t) for n, t in inputs.items()}))


def check_spikes(fired: Tensor, membrane: Tensor, firing: FiringSpec) -> None:
    """Fail unless spikes are those of the float64 `membrane`, but within rounding of a threshold."""
    with ops.backend("reference"):
        expected = ops.fire(membrane, firing)
    off = fired.double() != expected
    assert off.sum() <= 1e-3 * off.numel()
    # Integers change over at halves: their thresholds are 1/2, 3/2, ...
    distance = (membrane - 0.5).frac().abs() if firing.kind == Kind.INTEGER else (membrane - firing.level).abs()
    distance = torch.minimum(distance, 1.0 - distance) if firing.kind == Kind.INTEGER else distance
    near = distance <= 1e-5 * membrane.abs().max()
    assert bool(near[off].all()), f"{int((off & ~near).sum())} spikes differ far from a threshold"


def gradcheck(case: Case, backend: str) -> None:
    """Fail unless every gradient is that of finite differences; inputs must be float64 and the firing smooth."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.inputs.items()}
    with ops.backend(backend):
        assert torch.autograd.gradcheck(
            lambda *tensors: case.call(**dict(zip(leaves, tensors, strict=True))), (*leaves.values(),)
        )


# A call of every op, of two or more parts for the threads, [T, B, C] = [64, 3, 331]; the last group of neurons is not whole.
LARGE = {
    "linear_recurrence": lambda dtype: _gpu_support.linear_recurrence(64, 993, dtype),
    "dynamic_decay": lambda dtype: _gpu_support.dynamic_decay((64, 3, 331), dtype, Kind.INTEGER, lengths=True),
    "sweep": lambda dtype: _gpu_support.sweep((64, 3, 331), dtype, Kind.ATAN),
    "causal_conv": lambda dtype: _gpu_support.causal_conv((64, 3, 331), dtype, Kind.ATAN),
    "time_mixing": lambda dtype: _gpu_support.time_mixing(64, (64, 993), dtype, Kind.ATAN),
    "linear": lambda dtype: _gpu_support.linear(993, 64, 75, dtype, density=0.2),
    "layer_norm": lambda dtype: _gpu_support.layer_norm(993, 75, dtype),
    "fire": lambda dtype: _gpu_support.fire((64, 993), dtype, Kind.ATAN),
    "sigmoid": lambda dtype: _gpu_support.sigmoid((64, 993), dtype),
    "dropout": lambda dtype: _gpu_support.dropout((64, 993), dtype),
}
# And a small one.
SMALL = {
    "linear_recurrence": lambda dtype: _gpu_support.linear_recurrence(5, 3, dtype),
    "dynamic_decay": lambda dtype: _gpu_support.dynamic_decay((5, 2, 3), dtype, Kind.INTEGER, lengths=True),
    "sweep": lambda dtype: _gpu_support.sweep((5, 2, 3), dtype, Kind.ATAN, lengths=True),
    "causal_conv": lambda dtype: _gpu_support.causal_conv((5, 2, 3), dtype, Kind.ATAN, lengths=True),
    "time_mixing": lambda dtype: _gpu_support.time_mixing(4, (5, 6), dtype, Kind.ATAN),
    "linear": lambda dtype: _gpu_support.linear(5, 6, 3, dtype),
    "layer_norm": lambda dtype: _gpu_support.layer_norm(5, 6, dtype),
    "fire": lambda dtype: _gpu_support.fire((5, 6), dtype, Kind.ATAN),
    "sigmoid": lambda dtype: _gpu_support.sigmoid((5, 6), dtype),
    "dropout": lambda dtype: _gpu_support.dropout((5, 6), dtype),
}


def run(case: Case, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs and the gradients of the sum of their squares, by name, on the backend in use."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    outputs = dict(zip(case.outputs, case.call(**leaves), strict=True))
    loss = sum(output.square().sum() for output in outputs.values())
    grads = torch.autograd.grad(loss, list(leaves.values()))
    named = {f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)}
    return {name: output.detach() for name, output in outputs.items()} | named
