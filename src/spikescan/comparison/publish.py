"""The table of a comparison as files, made from its cells alone: ``results.csv``, ``README.md``, ``results.html``."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spikescan.analysis import page
from spikescan.comparison import pictures, table
from spikescan.comparison.outcome import read_outcomes
from spikescan.comparison.table import Row, Table
from spikescan.errors import InputError
from spikescan.files import write_text

__all__ = ["write_page", "write_table"]

_FIRING_HEADINGS = {"binary": "Binary spikes", "integer": "Integer spikes"}


def write_table(folder: Path, title: str) -> list[Path]:
    """Make ``results.csv`` and ``README.md`` anew from the files in ``cells``; returns their paths.

    Raises:
        InputError: nothing is done yet.
        CheckpointError: a file is damaged.
    """
    rows = _rows(folder, title)
    files = {"results.csv": _csv(rows), "README.md": _markdown(title, rows)}
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]


def write_page(folder: Path, title: str) -> Path:
    """Make ``results.html``, which has pictures too, from the files in ``cells``; returns its path, raises as `write_table`."""
    path = folder / "results.html"
    rows = _rows(folder, title)
    write_text(path, page.page(f"{title}: neurons compared", table.introduction(title, rows), _sections(rows)))
    return path


def _rows(folder: Path, title: str) -> list[Row]:
    outcomes = read_outcomes(folder)
    if not outcomes:
        raise InputError(f"{folder / 'cells'} holds no finished cell yet: spikescan compare {title} trains them.")
    return table.rows_of(outcomes)


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    names = ["neuron", "control", "firing", "seeds", "score", "test_mean", "test_low", "test_high", "test_deviation"]
    writer = csv.DictWriter(text, [*names, *table.COLUMNS, "failure"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values: dict[str, Any] = {"neuron": row.contender, "control": row.control, "firing": row.firing}
        values |= {"seeds": len(row.measured), "failure": " / ".join(row.failures)}
        if scores := row.score:
            values |= {"score": row.measured[0].score_name, "test_mean": scores.mean, "test_low": scores.low}
            values |= {"test_high": scores.high, "test_deviation": scores.deviation}
        for name, value in table.COLUMNS.items():
            found = row.over_seeds(value)
            values[name] = None if found is None else found.mean
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in values.items()})
    return text.getvalue()


def _parts(rows: list[Row]) -> Iterator[tuple[str, Table]]:
    """Headings and the tables beneath them."""
    yield "Test score", table.summary(rows)
    for firing, heading in _FIRING_HEADINGS.items():
        if chosen := [row for row in rows if row.firing == firing and not row.control]:
            yield heading, table.details(chosen)
    if controls := [row for row in rows if row.control]:
        yield "Controls", table.details(controls)


def _markdown(title: str, rows: list[Row]) -> str:
    parts = [f"# {title}: neurons compared", table.introduction(title, rows)]
    for heading, numbers in _parts(rows):
        parts += [f"## {heading}", _markdown_table(numbers)]
    if controls := table.controls(rows):
        parts.append(_markdown_list(controls))
    if failures := table.failures(rows):
        parts += ["## What could not be trained", _markdown_list(failures)]
    parts += ["## Settings", _markdown_table(table.settings(rows))]
    parts += ["## Data, budget and machine", _markdown_list(table.conditions(rows))]
    parts += ["What all cells have in common:", f"```yaml\n{table.recipe_text(rows)}```"]
    return "\n\n".join(parts) + "\n"


def _markdown_list(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _markdown_table(numbers: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    aligned = "|---|" + "---:|" * (len(numbers.columns) - 1)
    return "\n".join([line(numbers.columns), aligned, *map(line, numbers.rows)])


def _sections(rows: list[Row]) -> Iterator[str]:
    if drawn := list(_pictures(rows)):
        yield page.section("In pictures", *drawn)
    for heading, numbers in _parts(rows):
        extra = [page.remark(line) for line in table.controls(rows)] if heading == "Controls" else []
        yield page.section(heading, page.table(numbers.columns, numbers.rows, ""), *extra)
    if failures := table.failures(rows):
        yield page.section("What could not be trained", *map(page.remark, failures))
    settings = table.settings(rows)
    yield page.section("Settings", page.table(settings.columns, settings.rows, ""))
    conditions = map(page.remark, table.conditions(rows))
    yield page.section("Data, budget and machine", *conditions, page.entries({"recipe": table.recipe_text(rows)}))


def _pictures(rows: list[Row]) -> Iterator[str]:
    measured = [row for row in rows if row.measured]
    if not measured:
        return
    said = "; ".join(f"{table.label(row, firing=True)} {row.score.mean:.4g}" for row in measured if row.score)
    yield page.picture(
        partial(pictures.scores, measured),
        f"Test scores: {said}.",
        "A dot for each seed, a line from the lowest to the highest, a bar at the mean. Beneath the line: controls.",
        wide=True,
    )
    for quantity, axis, factor, caption in (
        (
            "energy_joules",
            "energy of a sample, µJ",
            1e6,
            "Score against the estimated energy of a sample's arithmetic.",
        ),
        ("wall_seconds", "training, seconds", 1.0, "Score against the time of training."),
    ):
        if any(row.over_seeds(table.COLUMNS[quantity]) for row in measured):
            yield page.picture(
                partial(pictures.score_against, measured, quantity, axis, factor),
                f"{caption} {said}.",
                caption,
                wide=True,
            )
