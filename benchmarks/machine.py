"""What a measurement has to say about where it was made, and how to make it fairly."""

import csv
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["interleaved", "machine", "median_ratio", "peak_bytes", "write_rows"]


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
    """Seconds of each call, taken in turns so that a busy moment of the machine falls on all of them.

    In its turn a call runs twice and the second is timed: the first pays for memory and caches as the call before left them.
    All run once before; one that took longer than `patience` seconds there is timed just once.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    slow = {name for name, call in calls.items() if _seconds(call) > patience}
    for turn in range(rounds):
        for name, call in calls.items():
            if name not in slow:
                call()
                times[name].append(_seconds(call))
            elif turn == 0:
                times[name].append(_seconds(call))
    return times


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
    reset.write_text("5")  # sets the peak back to what is in use now
    before = _status("VmRSS")
    kept = call()
    grown = _status("VmHWM") - before
    del kept
    return grown


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
