"""Measuring a cell: outputs are compared first, then the contenders take turns."""

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.peers import work
from benchmarks.peers.processes import RefusedError, Worker
from benchmarks.peers.table import Row
from benchmarks.peers.work import Cell

__all__ = ["Limits", "differences", "expected_seconds", "measure", "worker_of"]

SPIKES_ALLOWED = 1e-4  # of the spikes may differ: their membranes are within rounding of a threshold
ERROR_ALLOWED = 1e-2  # relative distance of gradients and answers, after such spikes
_WORKERS = {
    "spikescan": "spikescan",
    "SpikingJelly": "spikingjelly",
    "snnTorch": "snntorch",
    "PyTorch": "torch",
    "JAX": "jax",
}


class Limits(NamedTuple):
    """How long and how large a measurement may be."""

    seconds: float = 60.0
    """A call that takes longer, or is expected to, is not measured."""
    memory: int = 8 << 30
    """Bytes of private memory of a process."""
    rounds: int = 7
    budget: float = 1.0
    """Seconds for one contender's call in one cell, after which no further round is begun."""


def worker_of(contender: str) -> str:
    """The worker that runs a contender."""
    library, comma, _ = contender.partition(",")
    return _WORKERS[library.split()[0]] + (" empty" if comma else "")


def measure(
    cell: Cell,
    workers: Mapping[str, Worker],
    earlier: Iterable[Row],
    limits: Limits,
    folder: Path,
    machine: str,
) -> list[Row]:
    """The rows of a cell."""
    if cell.time_matrix_bytes >= limits.memory:
        why = f"the T x T matrix and its gradient alone take {cell.time_matrix_bytes / 2**30:.0f} GiB"
        names = [(name, call) for name in cell.contenders for call in cell.calls]
        return [Row(*cell.key, name, call, without=why, machine=machine) for name, call in names]
    path = folder / "inputs.npz"
    np.savez(path, **work.inputs(cell))  # type: ignore[arg-type]
    if cell.kind == "start":
        rows = [_started(cell, name, workers[worker_of(name)], path, limits) for name in cell.contenders]
        return [row._replace(machine=machine) for row in rows]
    turns = [_Contender(cell, name, workers[worker_of(name)], path, limits, list(earlier)) for name in cell.contenders]
    own = turns[0].check(folder / "own.npz", None)
    for turn in turns[1:]:
        turn.check(folder / "theirs.npz", own)
    for call in filter(None, (*cell.calls, cell.floor)):
        _take_turns([turn for turn in turns if call in turn.pending], call, limits)
    for turn in turns:
        turn.peak()
    return [row._replace(machine=machine) for turn in turns for row in turn.rows()]


def _take_turns(turns: list["_Contender"], call: str, limits: Limits) -> None:
    for _ in range(limits.rounds):
        for turn in turns:
            turn.time(call)


def _started(cell: Cell, name: str, worker: Worker, path: Path, limits: Limits) -> Row:
    load = {"do": "load", "inputs": path, **work.request(cell, name)}
    (call,) = cell.calls
    try:
        runs = 2 if name == "spikescan" else 1  # after the first, its kernels are kept
        times = [worker.first_result(2 * limits.seconds, load, call) for _ in range(runs)]
    except RefusedError as refused:
        return Row(*cell.key, name, call, without=str(refused))
    finally:
        worker.stop()
    return Row(*cell.key, name, call, times[-1], times[-1], times[-1], 1)


class _Contender:
    """One library at one cell."""

    def __init__(self, cell: Cell, name: str, worker: Worker, inputs: Path, limits: Limits, earlier: list[Row]) -> None:
        self._cell, self._name, self._worker, self._limits = cell, name, worker, limits
        self._times: dict[str, list[float]] = {}
        self._warm = 0.0  # seconds of the run that was compared, compiling included
        self._rows = {call: Row(*cell.key, name, call) for call in cell.calls}
        for call in cell.calls:
            expected = expected_seconds(cell, name, call, earlier)
            if expected is not None and expected > limits.seconds:
                much = f"about {expected:.0f} s" if math.isfinite(expected) else "no result in time"
                self._lack(f"{much} to be expected from shorter T", call)
        self._load = {"do": "load", "inputs": inputs, **work.request(cell, name)}
        if name == "spikescan" and cell.floor:
            self._rows[cell.floor] = Row(*cell.key, cell.floor, cell.floor)

    @property
    def pending(self) -> list[str]:
        """Calls that can be timed."""
        return [call for call, row in self._rows.items() if not row.without]

    def _lack(self, why: str, *calls: str) -> None:
        why = f"more than {self._limits.memory / 2**30:.0f} GiB" if why == "memory" else why
        for call in calls or self.pending:
            self._rows[call] = self._rows[call]._replace(without=why)

    def _ask(self, **request: Any) -> dict[str, Any]:
        return self._worker.ask(self._limits.seconds, **request)

    def check(self, path: Path, own: work.Arrays | None) -> work.Arrays | None:
        """Run once, and compare with what spikescan gave."""
        if not self.pending:
            return None
        gradients = work.FORWARD not in self._rows or work.BOTH in self.pending
        try:
            self._worker.ask(2 * self._limits.seconds, **self._load)
            start = time.perf_counter()
            self._worker.ask(2 * self._limits.seconds, do="outputs", path=path, gradients=gradients)
            self._warm = time.perf_counter() - start
            if gradients and work.FORWARD in self.pending:  # compiled on its own
                self._worker.ask(2 * self._limits.seconds, do="time", call=work.FORWARD, calls=1)
        except RefusedError as refused:
            self._lack(str(refused))
            return None
        with np.load(path) as file:
            found = dict(file)
        if own is not None:
            spikes, error = differences(own, found)
            for call, row in self._rows.items():
                self._rows[call] = row._replace(spikes_differing=spikes, error=error)
            if not (spikes <= SPIKES_ALLOWED and error <= ERROR_ALLOWED):
                self._lack(f"outputs differ: {spikes:.1e} of the spikes, gradients or answers by {error:.1e}")
        return found

    def time(self, call: str) -> None:
        """Two runs, of which the second counts: the first pays for caches as the one before left them. Slow calls run once."""
        times = self._times.setdefault(call, [])
        if call not in self.pending or sum(times) * 2 > self._limits.budget:
            return
        slow = self._warm > 0.5 * self._limits.budget
        try:
            times.append(self._ask(do="time", call=call, calls=1 if slow else 2)["seconds"])
        except RefusedError as refused:  # the process may be gone, and its work with it
            self._lack(str(refused), *(each for each in self.pending if each == call or not self._times.get(each)))

    def peak(self) -> None:
        """Memory of the whole step, measured last: it gives back what the process had kept."""
        if not any(self._times.values()):
            return
        try:
            if work.BOTH in self.pending:
                grown = self._ask(do="peak", call=work.BOTH)["bytes"]
                self._rows[work.BOTH] = self._rows[work.BOTH]._replace(peak_bytes=grown)
            self._ask(do="drop")
        except RefusedError:
            self._worker.stop()

    def rows(self) -> list[Row]:
        """What was found."""
        return [self._row(call, row) for call, row in self._rows.items()]

    def _row(self, call: str, row: Row) -> Row:
        times = self._times.get(call)
        if row.without or not times:
            return row
        share = 1 / self._cell.shape[0] if call in (work.STEP, work.STREAM) else 1.0
        median, least, most = (share * of(times) for of in (statistics.median, min, max))
        return row._replace(median_s=median, least_s=least, most_s=most, runs=len(times))


def differences(own: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Share of spikes that differ, and the largest relative distance of anything else that both have."""
    spikes, error = 0.0, 0.0
    for name in own.keys() & found.keys():
        a, b = own[name].ravel(), found[name].ravel()
        if a.shape != b.shape:
            return 1.0, float("inf")
        if name == "spikes":
            spikes = float(np.mean(a != b)) if a.size else 0.0
        else:
            distance, length = np.linalg.norm(a - b), np.linalg.norm(a)
            error = max(error, float(distance / length) if length else float(distance))
    return spikes, error


def expected_seconds(cell: Cell, contender: str, call: str, earlier: Iterable[Row]) -> float | None:
    """From shorter T with as many neuron-steps: the last two times carried on as a power of T, at least as they are.

    None where there are none. What had no time is not tried at a longer T either, unless another reason than time kept it.
    """
    if cell.kind != "layer" or cell.shape not in work.LENGTHS:
        return None
    lengths = {work.shown(shape) for shape in work.LENGTHS}
    found = [
        row
        for row in earlier
        if (row.kind, row.task, row.contender, row.call) == (cell.kind, cell.task, contender, call)
        and row.shape in lengths
        and row.sizes[0] < cell.shape[0]
    ]
    if any("to be expected" in row.without or "no result within" in row.without for row in found):
        return float("inf")
    timed = sorted((row.sizes[0], row.median_s) for row in found if row.median_s)
    if not timed:
        return None
    if len(timed) == 1:
        return timed[0][1]
    (T0, s0), (T1, s1) = timed[-2:]
    power = max(0.0, np.log(s1 / s0) / np.log(T1 / T0))
    return float(s1 * (cell.shape[0] / T1) ** power)
