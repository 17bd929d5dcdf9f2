"""The file of results: a row for each contender, call and cell, written when the cell is done."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from spikescan.files import write_whole

__all__ = ["Row", "Table"]


class Row(NamedTuple):
    """One contender's time for one call of a cell, or why there is none."""

    kind: str
    task: str
    shape: str
    contender: str
    call: str
    median_s: float | None = None
    least_s: float | None = None
    most_s: float | None = None
    runs: int = 0
    peak_bytes: int | None = None
    spikes_differing: float | None = None
    """Share of the spikes that are not spikescan's."""
    error: float | None = None
    """Largest relative distance (2-norm) of a gradient or an answer from spikescan's."""
    without: str = ""
    """Why there is no time."""
    machine: str = ""

    @property
    def cell(self) -> tuple[str, str, str]:
        """What it belongs to."""
        return self.kind, self.task, self.shape

    @property
    def sizes(self) -> tuple[int, ...]:
        """T, B, C."""
        return tuple(int(size) for size in self.shape.split("x"))


_NUMBERS = {"median_s": float, "least_s": float, "most_s": float, "peak_bytes": int, "spikes_differing": float}


class Table:
    """Rows in a CSV file; it is replaced as a whole, so that an interruption leaves all finished cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = [_row(values) for values in csv.DictReader(file)]

    def __contains__(self, cell: tuple[str, str, str]) -> bool:
        return any(row.cell == cell for row in self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Append the rows of a cell."""
        self.rows += rows
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, self._write)

    def machines(self) -> set[str]:
        """Machines, versions and settings among the rows."""
        return {row.machine for row in self.rows}

    def _write(self, temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Row._fields)
            writer.writerows(["" if value is None else _short(value) for value in row] for row in self.rows)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _row(values: dict[str, str]) -> Row:
    numbers = {name: _NUMBERS.get(name, float)(values[name]) if values[name] else None for name in (*_NUMBERS, "error")}
    texts = {name: values[name] for name in ("kind", "task", "shape", "contender", "call", "without", "machine")}
    return Row(**texts, **numbers, runs=int(values["runs"]))  # type: ignore[arg-type]
