"""What the table of a comparison says: rows over seeds, and their words and numbers, whatever they are written as."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from spikescan.comparison.contenders import CONTENDERS
from spikescan.comparison.outcome import Measured, Outcome
from spikescan.comparison.plan import CONTROLS, FIRINGS

__all__ = [
    "COLUMNS",
    "Row",
    "Spread",
    "Table",
    "conditions",
    "controls",
    "details",
    "failures",
    "introduction",
    "label",
    "recipe_text",
    "rows_of",
    "settings",
    "spread",
    "summary",
]


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
    def score(self) -> Spread | None:
        """On what was held out."""
        return self.over_seeds(lambda m: m.test_score)

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


COLUMNS: dict[str, Callable[[Measured], float | None]] = {
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
"""What is said of a row beside its score: each is the mean over the seeds."""

_HEADINGS = {
    "validation_score": "validation",
    "epoch": "epoch",
    "parameters": "parameters",
    "neuron_parameters": "of neurons",
    "time_steps": "T",
    "sub_steps": "T x N",
    "wall_seconds": "training, s",
    "neuron_steps_per_second": "neuron-steps/s",
    "firing_rate": "firing rate",
    "operations": "operations",
    "energy_joules": "energy, µJ",
    "dense_energy_joules": "dense, µJ",
}
_VARIED = ("neuron", "seed", "shuffle_time")


class Table(NamedTuple):
    """A table of words."""

    columns: list[str]
    rows: list[list[str]]


def introduction(title: str, rows: list[Row]) -> str:
    """What the score is, and how the numbers are to be read."""
    made = f"Made by spikescan compare {title} from the files in cells/ alone; --table makes it again."
    measured = next((m for row in rows for m in row.measured), None)
    if measured is None:
        return made
    best = "higher" if measured.higher_is_better else "lower"
    return (
        f"{made} The score is the {measured.score_name} ({best} is better) on what was held out to test, of the weights of the "
        f"epoch with the best validation score. Numbers are means over the seeds; of the score, the lowest and the highest "
        f"stand in brackets, and one seed has no spread. Binary and integer spikes are apart: an integer spike of up to N is N "
        f"binary sub-steps of time."
    )


def summary(rows: list[Row]) -> Table:
    """The scores of the contenders, binary and integer in columns of their own."""
    by_name = {(row.contender, row.firing): row for row in rows if not row.control}
    names = list(dict.fromkeys(name for name, _ in by_name))
    firings = [firing for firing in FIRINGS if any(firing == known for _, known in by_name)]
    return Table(
        ["neuron", *firings], [[name, *(_score(by_name.get((name, firing))) for firing in firings)] for name in names]
    )


def details(rows: list[Row]) -> Table:
    """All numbers of some rows; columns that none of them has are left out."""
    found = {name: [row.over_seeds(value) for row in rows] for name, value in COLUMNS.items()}
    shown = [name for name, spreads in found.items() if any(spreads)]
    body = [
        [label(row), _score(row), *(_cell(name, found[name][place]) for name in shown)]
        for place, row in enumerate(rows)
    ]
    return Table(["neuron", "test score", *(_HEADINGS[name] for name in shown)], body)


def controls(rows: list[Row]) -> list[str]:
    """What the controls are that these rows have."""
    return [f"{name}: {CONTROLS[name]}" for name in dict.fromkeys(row.control for row in rows if row.control)]


def failures(rows: list[Row]) -> list[str]:
    """What could not be trained, and why."""
    return [f"{label(row, firing=True)}: {reason}" for row in rows for reason in row.failures]


def settings(rows: list[Row]) -> Table:
    """The neurons with the options that they were built with, and where these are from."""
    body = []
    for row in {row.contender: row for row in rows if not row.control}.values():
        trial = row.outcomes[0].trial
        options = {name: value for name, value in trial.experiment.neuron.items() if name not in ("name", "firing")}
        words = ", ".join(f"{option} {value}" for option, value in options.items()) or "none"
        body.append([row.contender, str(trial.experiment.neuron["name"]), words, trial.settings])
    return Table(["", "neuron", "options", "why"], body)


def conditions(rows: list[Row]) -> list[str]:
    """Data, budget and machine, and what the numbers mean."""
    outcomes = [outcome for row in rows for outcome in row.outcomes]
    measured = [m for row in rows for m in row.measured]
    experiment = outcomes[0].trial.experiment
    seeds = sorted({outcome.trial.experiment.seed for outcome in outcomes})
    lines = []
    if measured:
        samples = ", ".join(f"{count:,} {what}" for what, count in measured[0].samples.items())
        lines.append(f"Data: {samples}; {measured[0].time_steps:,} time steps each at most.")
    lines.append(
        f"Budget, the same for all: {experiment.epochs} epochs of the recipe below; seeds {', '.join(map(str, seeds))}."
    )
    lines += _each(outcomes, _machine)
    lines.append(f"Revision {', '.join(_each(outcomes, lambda outcome: str(outcome.environment.get('git'))))}.")
    lines.append(
        "Seconds are of training alone. They and the speeds depend on the machine and on what else ran there; the first cell "
        "of a kind compiles its kernels, once a machine, and its seconds contain that."
    )
    if any(m.energy for m in measured):
        lines.append(
            "Operations and energy are means a sample, of the arithmetic alone, at 45 nm in float32. Dense is the same network "
            "with real numbers in place of spikes. It is an estimate, not a measurement."
        )
    return lines


def recipe_text(rows: list[Row]) -> str:
    """What all cells have in common, as YAML."""
    import yaml

    experiment = rows[0].outcomes[0].trial.experiment
    values = {name: value for name, value in asdict(experiment).items() if name not in _VARIED}
    values.get("data", {}).pop("path", None)  # where the data lies is no part of the experiment
    text: str = yaml.safe_dump(values, sort_keys=False, default_flow_style=None)
    return text


def label(row: Row, *, firing: bool = False) -> str:
    """How a row is called; with how it fires where that does not follow from where it stands."""
    name = f"{row.contender}, {row.control}" if row.control not in ("", row.contender) else row.contender
    return f"{name}, {row.firing}" if (firing or row.control) and row.firing != "none" else name


def _score(row: Row | None) -> str:
    """``0.912 (0.905 to 0.918; 3 seeds)``; a dash where there is none."""
    scores = row.score if row else None
    if scores is None:
        return "-"
    if scores.count == 1:
        return f"{scores.mean:.4g} (1 seed)"
    return f"{scores.mean:.4g} ({scores.low:.4g} to {scores.high:.4g}; {scores.count} seeds)"


def _cell(name: str, found: Spread | None) -> str:
    if found is None:
        return "-"
    return _number(found.mean * (1e6 if name.endswith("_joules") else 1.0))


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


def _number(value: float) -> str:
    """Three digits with the field's letters; whole numbers with commas."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
