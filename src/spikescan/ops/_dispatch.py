"""Which backend serves an op: the only place that knows backends.

A backend is a module `spikescan.ops.<op>.<backend>` with two functions, `forward` and `backward`, of the same signature as
the op's `reference`. It is imported when it is first needed, so that `import spikescan` compiles and probes nothing.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import torch

from spikescan.errors import BackendError

__all__ = ["BACKENDS", "OPS", "Choice", "backend", "backend_report", "choose", "load", "requested"]

OPS = (
    "linear_recurrence",
    "dynamic_decay",
    "sweep",
    "causal_conv",
    "time_mixing",
    "linear",
    "layer_norm",
    "fire",
    "sigmoid",
    "dropout",
)
BACKENDS = {
    "reference": "plain torch, any device",
    "cpu": "Numba kernels",
    "gpu": "Triton kernels",
}

_requested = os.environ.get("SPIKESCAN_BACKEND", "auto")


class Choice(NamedTuple):
    """A backend and why it serves."""

    backend: str
    reason: str


_USUAL = Choice("cpu", "CPU tensors, Numba compiles for this processor")


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Use the backend `name` ("auto", "reference", "cpu", "gpu") in this block, for the whole process.

    A backend that is named is used or raises `BackendError` with the reason; "auto" picks by device. The environment
    variable ``SPIKESCAN_BACKEND`` sets it from outside.
    """
    global _requested
    _check_name(name)
    previous, _requested = _requested, name
    try:
        yield
    finally:
        _requested = previous


def requested() -> str:
    """The backend asked for by `backend` or by the environment; "auto" if none."""
    return _requested


def _check_name(name: str) -> None:
    if name != "auto" and name not in BACKENDS:
        raise BackendError(f"There is no backend {name!r}; the backends are: auto, {', '.join(BACKENDS)}.")


@functools.cache
def _missing(name: str) -> str | None:
    """Why a backend cannot be imported here; None if it can."""
    if name == "gpu" and importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    return None


def _interpreting() -> bool:
    """Triton's interpreter runs GPU kernels on CPU tensors, slowly: for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def choose(asked: str, device: torch.device) -> Choice:
    """The backend that serves tensors on `device` when `asked` is requested, and why.

    Raises:
        BackendError: `asked` is unknown, is not installed, or does not serve this device.
    """
    if asked == "auto" and device.type == "cpu":
        return _USUAL
    _check_name(asked)
    if asked == "auto":
        if device.type == "cuda":
            missing = _missing("gpu")
            return Choice("reference", missing) if missing else Choice("gpu", "CUDA tensors, Triton is installed")
        return Choice("reference", f"no kernels for device type {device.type!r}")
    serves = {
        "reference": True,
        "cpu": device.type == "cpu",
        "gpu": device.type == "cuda" or (device.type == "cpu" and _interpreting()),
    }[asked]
    reason = _missing(asked) or (None if serves else f"it does not serve {device.type!r} tensors")
    if reason:
        raise BackendError(
            f"The backend {asked!r} was requested by name, but {reason}. "
            f"Request 'auto' (spikescan.backend('auto')) to let spikescan choose."
        )
    return Choice(asked, "requested by name")


@functools.cache
def load(op: str, name: str) -> ModuleType:
    """The module that implements `op` on the backend `name`."""
    return importlib.import_module(f"spikescan.ops.{op}.{name}")


def backend_report() -> list[tuple[str, str, str, str]]:
    """What each op would use here: rows of (op, device, backend, reason)."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    rows = []
    for op in OPS:
        for device in devices:
            choice = choose(_requested, torch.device(device))
            rows.append((op, device, choice.backend, choice.reason))
    return rows
