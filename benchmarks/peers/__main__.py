"""Measure spikescan beside SpikingJelly, snnTorch, plain torch and JAX: ``python -m benchmarks.peers``.

Each library runs in a process of its own, in an environment of its own with pinned versions, which the first run makes. All
are given the same inputs and weights; what comes out is compared before anything is timed. Then they take turns, one at a
time, so that a busy moment of the machine falls on all of them. Every finished cell is kept: stop the command whenever you
like and run it again. ``--report`` writes the page from the file of results alone.
"""

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

import torch

import spikescan
from benchmarks.machine import machine
from benchmarks.peers import environments, work
from benchmarks.peers.measure import Limits, measure, worker_of
from benchmarks.peers.processes import Worker
from benchmarks.peers.report import write_report
from benchmarks.peers.table import Row, Table

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "performance"


def main() -> None:
    """Measure what is missing, then write the report."""
    given = _arguments()
    table = Table(given.output)
    if not given.report:
        wanted = [cell for cell in work.cells(given.tiny) if re.search(given.only, " ".join(cell.key))]
        try:
            _measure(wanted, table, given)
        except KeyboardInterrupt:
            print("\nstopped; the finished cells are kept, and the same command goes on from here")
            sys.exit(130)
    for path in write_report(table.rows, given.pages):
        print(f"wrote {path}")


def _measure(wanted: list[work.Cell], table: Table, given: argparse.Namespace) -> None:
    missing = [cell for cell in wanted if cell.key not in table]
    if not missing:
        return
    limits = Limits(given.limit, int(given.memory * 2**30), given.rounds, given.budget)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workers = _workers(missing, limits, given, folder)
        try:
            where = _described(given)
            if table.rows and table.machines() != {where}:
                sys.exit(
                    f"{table.path} was measured elsewhere or otherwise:\n  {table.machines()}\nand this is\n  {where}\n"
                    f"Give another file with --output, or delete it."
                )
            start = time.perf_counter()
            for number, cell in enumerate(missing, 1):
                rows = measure(cell, workers, table.rows, limits, folder, where)
                table.add(rows)
                print(f"[{number}/{len(missing)}, {time.perf_counter() - start:.0f} s] {' '.join(cell.key)}")
                print(*(f"    {_line(row)}" for row in rows), sep="\n", flush=True)
        finally:
            for worker in workers.values():
                worker.stop()


def _workers(cells: list[work.Cell], limits: Limits, given: argparse.Namespace, folder: Path) -> dict[str, Worker]:
    """Those that the cells need. "spikescan empty" is ours with no kernels kept from before."""
    needed = sorted({worker_of(name) for cell in cells for name in cell.contenders})
    made = {}
    for each in needed:
        name = each.removesuffix(" empty")
        changes = {"PYTHONPATH": str(ROOT / "src")} if name == "spikescan" else {}
        if each != name:
            changes["NUMBA_CACHE_DIR"] = str(folder / "kernels")
        python = environments.python_of(name, given.environments)
        log = given.environments / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        made[each] = Worker(name, python, threads=given.threads, memory=limits.memory, log=log, environment=changes)
    return made


def _described(given: argparse.Namespace) -> str:
    """Machine, versions of all libraries, and threads: what makes rows comparable, whichever cells are still missing."""
    # Files from before its networks had these are not extended: they had torch's.
    own = [
        f"spikescan {spikescan.__version__} with its own linear layers and norms",
        f"torch {torch.__version__}",
        f"python {platform.python_version()}",
    ]
    return ", ".join([machine().split(",")[0], f"{given.threads} threads", *own, *environments.pinned()])


def _line(row: Row) -> str:
    time_taken = f"{1e3 * row.median_s:12.3f} ms" if row.median_s is not None else f"  - {row.without}"
    return f"{row.contender:28} {row.call:20} {time_taken}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=PAGES / "peers.csv", help="file of results, read and extended")
    parser.add_argument("--pages", type=Path, default=PAGES, help="folder for peers.md and its plots")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report")
    parser.add_argument("--only", default="", help="regular expression on 'kind task TxBxC', e.g. 'layer dsn'")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to see that everything works")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that one call may take")
    parser.add_argument("--memory", type=float, default=8.0, help="GiB that one process may take")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for one contender's call in one cell")
    parser.add_argument("--environments", type=Path, default=environments.default_folder(), help="where peers live")
    given = parser.parse_args()
    given.environments = given.environments.resolve()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given.threads = min(given.threads, cores)
    return given


if __name__ == "__main__":
    main()
