"""Is a revision faster or slower than another? ``python -m benchmarks.compare REV`` times it beside the working tree.

Both run in processes of their own and take turns, so that a busy moment of the machine falls on both. A ratio is the median
of the newer over that of the older: below 1 the newer is faster. ``noise`` is how far apart one's own least and median are:
a ratio within it says nothing.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from benchmarks.peers import work
from benchmarks.peers.measure import differences
from benchmarks.peers.processes import RefusedError, Worker
from benchmarks.peers.work import Cell
from benchmarks.publish import markdown

__all__ = ["Times", "arguments", "cells", "table", "worktree"]

ROOT = Path(__file__).resolve().parents[1]
WORKING_TREE = "the working tree"
SHAPES = [(32, 128, 256), (1024, 32, 128), (4096, 16, 256)]

Times = Mapping[str, Sequence[float]]
"""Seconds by revision, the older first."""


def cells() -> Iterator[Cell]:
    """The main cells of the ops benchmark, and a step."""
    for task in ("dsn", "lif", "sliding_psn"):
        yield from (Cell("layer", task, shape) for shape in SHAPES)
        yield Cell("step", task, (work.STEPS, 1, work.WIDTH))
    yield from (Cell("layer", "psn", shape) for shape in SHAPES[:2])


def table(measured: Mapping[tuple[Cell, str], Times]) -> str:
    """A line for each cell and call."""
    rows, names = [], ["", ""]
    for (cell, call), times in measured.items():
        names = list(times)
        older, newer = (statistics.median(taken) for taken in times.values())
        noise = max(statistics.median(taken) / min(taken) - 1 for taken in times.values())
        seconds = (f"{1e3 * value:.3f} ms" for value in (older, newer))
        rows.append([f"{cell.task} {work.shown(cell.shape)}", call, *seconds, f"{newer / older:.2f}", f"{noise:.0%}"])
    return markdown(["cell", "call", *names, "ratio", "noise"], rows)


@contextlib.contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """A checkout of a revision, taken away afterwards; the working tree is where it is."""
    if revision == WORKING_TREE:
        yield ROOT
        return
    place = folder / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(place), revision], check=True)
    try:
        yield place
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("older", metavar="REV", help="a revision, as git names it")
    parser.add_argument(
        "newer", nargs="?", default=WORKING_TREE, metavar="REV", help="another; left out: the working tree"
    )
    parser.add_argument("--only", default="", help="regular expression on 'kind task TxBxC', e.g. 'layer dsn'")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(given)


def main() -> None:
    """Measure and print."""
    given = arguments()
    wanted = [cell for cell in cells() if re.search(given.only, " ".join(cell.key))]
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in (given.older, given.newer):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tree = stack.enter_context(worktree(name, folder))
            # Kernels of their own: one's must not be taken for the other's.
            changes = {"PYTHONPATH": str(tree / "src"), "NUMBA_CACHE_DIR": str(folder / "kernels")}
            python, log = Path(sys.executable), folder / "log"
            worker = Worker("spikescan", python, threads=given.threads, memory=8 << 30, log=log, environment=changes)
            stack.callback(worker.stop)
            workers[name] = worker
        measured: dict[tuple[Cell, str], Times] = {}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for cell in wanted:
            try:
                measured |= {
                    (cell, call): times for call, times in _measure(cell, workers, folder, given.rounds).items()
                }
                print(" ".join(cell.key), flush=True)
            except RefusedError as refused:
                print(f"{' '.join(cell.key)}: {refused}", flush=True)
        print(f"\n{table(measured)}\n\n{machine().split(',')[0]}, {given.threads} threads")


def _measure(cell: Cell, workers: Mapping[str, Worker], folder: Path, rounds: int) -> dict[str, Times]:
    path, outputs = folder / "inputs.npz", []
    np.savez(path, **work.inputs(cell))  # type: ignore[arg-type]
    for worker in workers.values():
        worker.ask(120, do="load", inputs=path, **work.request(cell, "spikescan"))
        worker.ask(120, do="outputs", path=folder / "outputs.npz", gradients=True)
        with np.load(folder / "outputs.npz") as file:
            outputs.append(dict(file))
    spikes, error = differences(*outputs)
    if spikes or error > 1e-4:
        print(f"{' '.join(cell.key)}: {spikes:.1e} of the spikes differ, gradients by {error:.1e}")
    times: dict[str, dict[str, list[float]]] = {call: {name: [] for name in workers} for call in cell.calls}
    for call, taken in times.items():
        for turn in range(rounds + 1):  # the first one compiles
            for name, worker in workers.items():
                seconds = worker.ask(120, do="time", call=call, calls=2)["seconds"]
                if turn:
                    taken[name].append(seconds / (cell.shape[0] if call == work.STEP else 1))
    return dict(times)


if __name__ == "__main__":
    main()
