"""What a measurement has to say about where it was made, and how to make it fairly."""

import contextlib
import csv
import ctypes
import functools
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

__all__ = ["in_turns", "interleaved", "machine", "median_ratio", "peak_bytes", "write_rows"]

Measured = TypeVar("Measured")


def machine() -> str:
    """Processor, cores in use, and versions, in a line."""
    return f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, python {platform.python_version()}"


def _processor() -> str:
    """The name that Linux gives, with the widest vectors it reports; else the platform's."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in fields.get("flags", "").split()), "")
    return f"{fields.get('model name', platform.machine())} {widest}".strip()


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, patience: float) -> dict[str, list[float]]:
    """Seconds of each call, by `in_turns`; one that takes longer than `patience` seconds is timed just once."""
    timed = {name: functools.partial(_seconds, call) for name, call in calls.items()}
    return in_turns(timed, rounds, patience, seconds=float, slow_rounds=1)


def in_turns(
    calls: Mapping[str, Callable[[], Measured]],
    rounds: int,
    patience: float,
    *,
    seconds: Callable[[Measured], float],
    slow_rounds: int,
) -> dict[str, list[Measured]]:
    """What each call measures of itself, taken in turns so that a busy moment of the machine falls on all of them.

    In its turn a call runs twice and the second is kept: the first pays for memory and caches as the call before left them.
    All run once before; one that took longer than `patience` seconds there, and again, as kernels compile in a first run only,
    runs once in a turn, for `slow_rounds` turns.
    """
    taken: dict[str, list[Measured]] = {name: [] for name in calls}
    slow = {name for name, call in calls.items() if seconds(call()) > patience and seconds(call()) > patience}
    for turn in range(rounds):
        for name, call in calls.items():
            if name not in slow:
                call()
                taken[name].append(call())
            elif turn < slow_rounds:
                taken[name].append(call())
    return taken


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median_ratio(times: Mapping[str, list[float]], name: str, base: str) -> float:
    """How many times as long `name` took as `base`, by their medians."""
    return statistics.median(times[name]) / statistics.median(times[base])


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file of these rows, whole or not at all."""
    partial = path.with_suffix(".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def peak_bytes(call: Callable[[], object]) -> int | None:
    """How much the process grew while `call` ran, at its peak; None where the system does not tell (Linux does)."""
    reset = Path("/proc/self/clear_refs")
    if not os.access(reset, os.W_OK):
        return None
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed would hide what this one takes
    reset.write_text("5")  # sets the peak back to what is in use now
    before = _status("VmRSS")
    kept = call()
    grown = _status("VmHWM") - before
    del kept
    return grown


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
