"""The table of a comparison, made from its files alone: ``results.csv`` and ``README.md``."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spikescan.comparison.contenders import CONTENDERS
from spikescan.comparison.experiments import AnyExperiment
from spikescan.comparison.outcome import Measured, Outcome, read_outcomes
from spikescan.comparison.plan import CONTROLS
from spikescan.errors import InputError
from spikescan.files import write_text

__all__ = ["Row", "Spread", "rows_of", "spread", "write_table"]


@dataclass(frozen=True)
class Spread:
    """A number over seeds."""

    mean: float
    low: float
    high: float
    deviation: float | None
    """The standard deviation of the samples (n - 1); None for one seed, which has no spread."""
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Over one or more values."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None
    return Spread(mean, min(values), max(values), deviation, len(values))


@dataclass(frozen=True)
class Row:
    """One neuron, kind of firing and control, over its seeds."""

    contender: str
    firing: str
    control: str
    outcomes: list[Outcome]

    @property
    def measured(self) -> list[Measured]:
        """Of the seeds that did not fail."""
        return [outcome.measured for outcome in self.outcomes if outcome.measured is not None]

    @property
    def failures(self) -> list[str]:
        """Each reason once."""
        return list(dict.fromkeys(outcome.failure for outcome in self.outcomes if outcome.failure))

    def over_seeds(self, value: Callable[[Measured], float | None]) -> Spread | None:
        """A number of the measured over the seeds; None where a seed lacks it or none is there."""
        values = [value(measured) for measured in self.measured]
        known = [number for number in values if number is not None]
        return spread(known) if known and len(known) == len(values) else None


def rows_of(outcomes: Iterable[Outcome]) -> list[Row]:
    """Outcomes by neuron, control and firing: contenders in their order, then controls."""
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        trial = outcome.trial
        groups.setdefault((trial.contender, trial.control, trial.firing), []).append(outcome)
    order = {name: place for place, name in enumerate(["", *CONTROLS])}
    places = {name: place for place, name in enumerate(CONTENDERS)}

    def key(item: tuple[str, str, str]) -> tuple[Any, ...]:
        contender, control, firing = item
        return order[control], places.get(contender, len(places)), contender, firing

    return [
        Row(contender, firing, control, sorted(groups[contender, control, firing], key=_seed))
        for contender, control, firing in sorted(groups, key=key)
    ]


def _seed(outcome: Outcome) -> int:
    return outcome.trial.experiment.seed


def write_table(folder: Path, title: str) -> list[Path]:
    """Make ``results.csv`` and ``README.md`` anew from the files in ``cells``; returns their paths.

    Raises:
        InputError: nothing is done yet.
        CheckpointError: a file is damaged.
    """
    outcomes = read_outcomes(folder)
    if not outcomes:
        raise InputError(f"{folder / 'cells'} holds no finished cell yet: spikescan compare {title} trains them.")
    rows = rows_of(outcomes)
    table, page = folder / "results.csv", folder / "README.md"
    write_text(table, _csv(rows))
    write_text(page, _markdown(title, rows))
    return [table, page]


_COLUMNS: dict[str, Callable[[Measured], float | None]] = {
    "validation_score": lambda m: m.validation_score,
    "epoch": lambda m: m.epoch,
    "parameters": lambda m: m.parameters,
    "neuron_parameters": lambda m: m.neuron_parameters,
    "time_steps": lambda m: m.time_steps,
    "sub_steps": lambda m: m.sub_steps,
    "wall_seconds": lambda m: m.wall_seconds,
    "neuron_steps_per_second": lambda m: m.neuron_steps_per_second,
    "firing_rate": lambda m: m.firing_rate,
    "operations": lambda m: sum(m.operations.values()) if m.operations else None,
    "energy_joules": lambda m: sum(m.energy.values()) if m.energy else None,
    "dense_energy_joules": lambda m: m.dense_energy,
}
_VARIED = ("neuron", "seed", "shuffle_time")
"""Of ``results.csv`` beside the score; each is the mean over the seeds."""


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    names = ["neuron", "control", "firing", "seeds", "score", "test_mean", "test_low", "test_high", "test_deviation"]
    writer = csv.DictWriter(text, [*names, *_COLUMNS, "failure"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values: dict[str, Any] = {"neuron": row.contender, "control": row.control, "firing": row.firing}
        values |= {"seeds": len(row.measured), "failure": " / ".join(row.failures)}
        if scores := row.over_seeds(lambda m: m.test_score):
            values |= {"score": row.measured[0].score_name, "test_mean": scores.mean, "test_low": scores.low}
            values |= {"test_high": scores.high, "test_deviation": scores.deviation}
        for name, value in _COLUMNS.items():
            found = row.over_seeds(value)
            values[name] = None if found is None else found.mean
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in values.items()})
    return text.getvalue()


def _markdown(title: str, rows: list[Row]) -> str:
    done = [measured for row in rows for measured in row.measured]
    parts = [f"# {title}: neurons compared", _introduction(title, rows, done)]
    plain = [row for row in rows if not row.control]
    if done:
        parts += ["## Test score", _summary(plain)]
        for firing, words in (("binary", "Binary spikes"), ("integer", "Integer spikes")):
            if chosen := [row for row in plain if row.firing == firing]:
                parts += [f"## {words}", _details(chosen)]
        if controls := [row for row in rows if row.control]:
            meanings = "\n".join(f"* {name}: {CONTROLS[name]}" for name in dict.fromkeys(r.control for r in controls))
            parts += ["## Controls", _details(controls), meanings]
    if failures := _failures(rows):
        parts += ["## What could not be trained", failures]
    parts += ["## Settings", _settings(plain), "## Data, budget and machine", _conditions(rows, done)]
    return "\n\n".join(parts) + "\n"


def _introduction(title: str, rows: list[Row], done: list[Measured]) -> str:
    made = f"Made by `spikescan compare {title}`, from the files in `cells/` alone; `--table` makes it again."
    if not done:
        return made
    best = "higher" if done[0].higher_is_better else "lower"
    return (
        f"{made} The score is the {done[0].score_name} ({best} is better) on the test split, of the weights of the epoch "
        f"with the best validation score. Numbers are means over the seeds, of the score with the lowest and the highest; one "
        f"seed has no spread. Binary and integer spikes are apart: an integer spike of up to N is N binary sub-steps of time."
    )


def _summary(rows: list[Row]) -> str:
    by_name = {(row.contender, row.firing): row for row in rows}
    names = list(dict.fromkeys(row.contender for row in rows))
    firings = [firing for firing in ("binary", "integer") if any(row.firing == firing for row in rows)]
    body = [[name, *(_score(by_name.get((name, firing))) for firing in firings)] for name in names]
    return _table(["neuron", *firings], body)


def _score(row: Row | None) -> str:
    """``0.912 (0.905 to 0.918; 3 seeds)``; a dash where there is none."""
    scores = row.over_seeds(lambda m: m.test_score) if row else None
    if scores is None:
        return "-"
    if scores.count == 1:
        return f"{scores.mean:.4g} (1 seed)"
    return f"{scores.mean:.4g} ({scores.low:.4g} to {scores.high:.4g}; {scores.count} seeds)"


def _details(rows: list[Row]) -> str:
    columns = ["neuron", "test score", "validation", "epoch", "parameters", "of neurons", "T", "T x N"]
    columns += ["training, s", "neuron-steps/s", "firing rate", "operations", "energy, µJ", "dense, µJ"]
    body = []
    for row in rows:
        numbers = [row.over_seeds(value) for value in _COLUMNS.values()]
        scaled = [1.0] * (len(numbers) - 2) + [1e6, 1e6]
        shown = [
            "-" if found is None else _number(found.mean * factor)
            for found, factor in zip(numbers, scaled, strict=True)
        ]
        body.append([_label(row), _score(row), *shown])
    return _table(columns, body)


def _label(row: Row) -> str:
    if not row.control:
        return row.contender
    name = f"{row.control} {row.contender}" if row.control == "shuffled" else row.contender
    return name if row.firing == "none" else f"{name}, {row.firing}"


def _failures(rows: list[Row]) -> str:
    return "\n".join(f"* {_label(row)} ({row.firing}): {reason}" for row in rows for reason in row.failures)


def _settings(rows: list[Row]) -> str:
    lines = []
    for row in {row.contender: row for row in rows}.values():
        neuron = dict(row.outcomes[0].trial.experiment.neuron)
        name = neuron.pop("name")
        neuron.pop("firing", None)
        words = ", ".join(f"{option} {value}" for option, value in neuron.items()) or "no options"
        lines.append([row.contender, name, words, row.outcomes[0].trial.settings])
    return _table(["", "neuron", "options", "why"], lines)


def _conditions(rows: list[Row], done: list[Measured]) -> str:
    outcomes = [outcome for row in rows for outcome in row.outcomes]
    experiment = outcomes[0].trial.experiment
    lines = []
    if done:
        samples = ", ".join(f"{count:,} {what}" for what, count in done[0].samples.items())
        lines.append(f"* Data: {samples}; {done[0].time_steps:,} time steps each at most.")
    seeds = sorted({outcome.trial.experiment.seed for outcome in outcomes})
    lines.append(
        f"* Budget, the same for all: {experiment.epochs} epochs of the recipe below, less its neuron; seeds "
        f"{', '.join(map(str, seeds))}."
    )
    lines += [f"* {machine}" for machine in _each(outcomes, _machine)]
    lines.append(f"* Revision {', '.join(_each(outcomes, lambda outcome: str(outcome.environment.get('git'))))}.")
    lines.append(
        "* Seconds are of training alone. They and the speeds depend on the machine and on what else ran there; the first cell "
        "of a kind compiles its kernels, once a machine, which its seconds contain."
    )
    if any(measured.energy for measured in done):
        lines.append(
            "* Operations and energy are means a sample, of the arithmetic alone: 45 nm, float32. Dense is the same network "
            "with real numbers in place of spikes. An estimate, not a measurement (docs/energy.md)."
        )
    return "\n".join(lines) + f"\n\nThe recipe, less its neuron and seed:\n\n```yaml\n{_recipe(experiment)}```"


def _machine(outcome: Outcome) -> str:
    where = outcome.environment
    packages = ", ".join(f"{name} {version}" for name, version in where.get("packages", {}).items() if version)
    return (
        f"{where.get('processor')}, {where.get('cores')} cores, {where.get('threads')} threads a cell, "
        f"{where.get('system')}, Python {where.get('python')}, {packages}."
    )


def _each(outcomes: Iterable[Outcome], words: Callable[[Outcome], str]) -> list[str]:
    """What is said of outcomes, once each."""
    return list(dict.fromkeys(map(words, outcomes)))


def _recipe(experiment: AnyExperiment) -> str:
    import yaml

    values = {name: value for name, value in asdict(experiment).items() if name not in _VARIED}
    values.get("data", {}).pop("path", None)  # where the data lies is no part of the experiment
    text: str = yaml.safe_dump(values, sort_keys=False, default_flow_style=None)
    return text


def _number(value: float) -> str:
    """Four digits; whole numbers with commas."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    aligned = "|---|" + "---:|" * (len(columns) - 1)
    return "\n".join([line(columns), aligned, *map(line, rows)])
