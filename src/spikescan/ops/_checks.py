"""Checks that several ops share. Each message names what was given, what was expected and the call that works."""

import torch
from torch import Tensor

from spikescan.errors import InputError

__all__ = [
    "as_read",
    "check_floating",
    "check_lengths",
    "check_sequence",
    "check_shape",
    "check_state",
    "compute_dtype",
    "flatten_space",
    "in_compute_dtype",
]

FLOATING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def check_floating(op: str, name: str, tensor: Tensor) -> None:
    """Raise unless `tensor` is a floating point tensor of a dtype the kernels know."""
    if not isinstance(tensor, Tensor):
        raise InputError(f"{op}: {name} is a {type(tensor).__name__}, expected a Tensor.")
    if tensor.dtype not in FLOATING:
        raise InputError(f"{op}: {name} is {tensor.dtype}, expected a floating point tensor; call {name}.float().")


def check_shape(op: str, name: str, tensor: Tensor, shape: tuple[int, ...], like: Tensor, meaning: str) -> None:
    """Raise unless `tensor` has this shape and lies where `like` lies."""
    if tuple(tensor.shape) != shape:
        raise InputError(f"{op}: {name} is {list(tensor.shape)}, expected {list(shape)} ({meaning}).")
    if tensor.device != like.device:
        raise InputError(f"{op}: {name} is on {tensor.device} but the input is on {like.device}; move one of them.")


def check_lengths(op: str, lengths: Tensor | None, steps: int, batch: int, like: Tensor) -> None:
    """Raise unless `lengths` is an int64 ``[B]`` within 0 and T; the range is checked only in eager mode."""
    if lengths is None:
        return
    if not isinstance(lengths, Tensor):
        raise InputError(
            f"{op}: lengths is a {type(lengths).__name__}, expected a Tensor, torch.int64 [{batch}], as "
            f"torch.tensor([{steps}, ...]) makes it: the number of valid steps of each sample."
        )
    if lengths.dtype != torch.int64 or tuple(lengths.shape) != (batch,) or lengths.device != like.device:
        raise InputError(
            f"{op}: lengths is {lengths.dtype} {list(lengths.shape)} on {lengths.device}, expected torch.int64 [{batch}] "
            f"on {like.device}: the number of valid steps of each sample."
        )
    if not torch.compiler.is_compiling() and batch and type(lengths) is Tensor:
        low, high = int(lengths.min()), int(lengths.max())
        if low < 0 or high > steps:
            raise InputError(f"{op}: lengths run from {low} to {high}, expected 0 to T = {steps}.")


def check_sequence(op: str, x: Tensor) -> None:
    """Raise unless `x` is a floating point ``[T, B, C, *]``."""
    check_floating(op, "x", x)
    if x.ndim < 3:
        raise InputError(f"{op}: x is {list(x.shape)}, expected [T, B, C, *]; a single sample is x.unsqueeze(1).")


def check_state(op: str, name: str, tensor: Tensor | None, shape: tuple[int, ...], x: Tensor) -> None:
    """Raise unless a carried tensor has this shape, the dtype of states for `x`, and lies where `x` lies."""
    if tensor is None:
        return
    check_shape(op, name, tensor, shape, x, "a state of another batch size or module does not fit; None starts at rest")
    if tensor.dtype != compute_dtype(x):
        raise InputError(f"{op}: {name} is {tensor.dtype}, expected {compute_dtype(x)} for input of {x.dtype}.")


def flatten_space(x: Tensor) -> Tensor:
    """``[T, B, C, *]`` as a contiguous ``[T, B, C, S]``; S is 1 without space."""
    flat = x if x.ndim == 4 else x.reshape(*x.shape[:3], x.shape[3:].numel())
    return flat.contiguous()


def as_read(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As kernels read it, in `dtype` and contiguous; itself where it is so: a call that changes nothing takes time."""
    return (tensor if tensor.dtype == dtype else tensor.to(dtype)).contiguous()


def compute_dtype(x: Tensor) -> torch.dtype:
    """State, gates and sums are float64 for float64 input and float32 for any other."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def in_compute_dtype(tensor: Tensor) -> Tensor:
    """The tensor in the dtype that is computed in; itself wherever it is so already."""
    dtype = compute_dtype(tensor)
    return tensor if tensor.dtype == dtype else tensor.to(dtype)
