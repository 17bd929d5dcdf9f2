"""The log of trials behind a recipe: ``python -m benchmarks.trials RECIPE RUNS...`` writes them to docs/results/tuning.csv.

A row says how a run differed from the recipe as it stands, and its best score on the validation split; the test split is not
read. A run that is there already is written anew. Seconds are of training alone, on a machine that other work may have shared.
"""

import argparse
import csv
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spikescan.recipes import find_recipe
from spikescan.training import experiment_from
from spikescan.training.build import build_task
from spikescan.training.checkpoint import read_index
from spikescan.training.config import read_yaml
from spikescan.training.metrics import read_metrics
from spikescan.training.run import read_experiment

OUTPUT = Path(__file__).resolve().parents[1] / "docs/results/tuning.csv"
COLUMNS = ("date", "recipe", "run", "changes", "epochs", "of", "seconds", "score", "validation", "training")


def trial(recipe: str, run: Path) -> dict[str, str]:
    """The row of one run folder; "training" is the training score of the best epoch."""
    experiment, metrics = read_experiment(run), read_metrics(run / "metrics.csv")
    index = read_index(run / "checkpoint")
    if index is None:
        raise SystemExit(f"{run} has no finished epoch.")
    planned = _flat(asdict(experiment_from(read_yaml(find_recipe(recipe)))))
    given = _flat(asdict(experiment))
    changes = {
        name: given.get(name, "left out")
        for name in [*planned, *(name for name in given if name not in planned)]
        if name not in ("data.path", "epochs") and given.get(name, "left out") != planned.get(name, "left out")
    }
    score = build_task(experiment).score_name
    best = metrics[index.best_epoch - 1]
    return {
        "date": datetime.fromtimestamp((run / "config.yaml").stat().st_mtime, UTC).strftime("%Y-%m-%d"),
        "recipe": recipe,
        "run": run.name,
        "changes": "; ".join(f"{name} {value}" for name, value in changes.items()),
        "epochs": str(len(metrics)),
        "of": str(experiment.epochs),
        "seconds": f"{sum(row['seconds'] for row in metrics):.0f}",
        "score": score,
        "validation": f"{best[f'validation_{score}']:.4f}",
        "training": f"{best[f'train_{score}']:.4f}",
    }


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested fields by names such as ``model.width``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    rows = [trial(arguments.recipe, run) for run in arguments.runs]
    if OUTPUT.exists():
        with OUTPUT.open(newline="", encoding="utf-8") as file:
            written = {(row["recipe"], row["run"]) for row in rows}
            rows = [row for row in csv.DictReader(file) if (row["recipe"], row["run"]) not in written] + rows
    with OUTPUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["recipe"], row["date"], row["run"])))


if __name__ == "__main__":
    main()
