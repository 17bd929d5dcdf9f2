"""How well one neuron can spike as a LIF does: ``python -m benchmarks.expressivity``.

Six teachers (hard and soft reset, three time constants), binary and integer, as in appendix B.7 of the DSN paper. Its
currents, time constants and numbers of steps are not known to us: the recipe ``expressivity`` says what is taken here. A
neuron learns with a gain and an offset, from several starts; the start that agrees best with the teacher on the validation
split is scored on the test split. Each row has the trivial answer beside it: the one number of spikes that the teacher gives
most often.

Every finished cell is a row of ``docs/results/expressivity.csv`` and is not computed again; delete the file, or rows of it, to
do so. ``docs/results/expressivity.md`` is made from the rows. All 108 cells take about a quarter of an hour of one core.
"""

import argparse
import csv
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import machine
from spikescan.data.lif_teacher import teacher
from spikescan.models import Single
from spikescan.recipes import find_recipe
from spikescan.training import experiment_from, load_run, train
from spikescan.training.config import merge, read_yaml

OUTPUT = Path(__file__).resolve().parents[1] / "docs/results/expressivity.csv"
TAUS = (2.0, 5.0, 20.0)
LEVELS = 4
KEY = ("spikes", "reset", "tau", "neuron", "seed")
COLUMNS = (
    *KEY, "agreement", "majority", "membrane_correlation", "restarts_mean", "restarts_worst", "teacher_rate",
    "epochs", "seconds", "machine",
)  # fmt: skip
PUBLISHED = """\
Published (DSN paper, App. B.7; read from a third party's notes): 92.97 / 95.05 % with binary spikes and 98.46 / 98.32 % with
integer ones, hard / soft reset if the order of the notes is theirs; at worst 85.87 %, at the largest time constant. Its
currents, time constants and steps are not known, so only the pattern can be compared, not the numbers."""

Neuron = Callable[[float, str], dict[str, Any]]
BINARY: dict[str, Neuron] = {
    "dsn": lambda tau, reset: {"name": "dsn", "firing": {"kind": "binary"}},
    "sliding_psn": lambda tau, reset: {"name": "sliding_psn", "order": 32},
    "psn": lambda tau, reset: {"name": "psn"},
    "prf": lambda tau, reset: {"name": "prf"},
    "lif without reset": lambda tau, reset: {"name": "parametric_lif", "reset": None, "scale_input": False},
    "lif": lambda tau, reset: {"name": "lif", "tau": tau, "reset": reset, "scale_input": False},
}
FIRING = {"kind": "integer", "levels": LEVELS}
INTEGER: dict[str, Neuron] = {
    "dsn": lambda tau, reset: {"name": "dsn", "firing": FIRING},
    "lif without reset": lambda tau, reset: BINARY["lif without reset"](tau, reset) | {"firing": FIRING},
    "lif": lambda tau, reset: BINARY["lif"](tau, reset) | {"firing": FIRING},
}
NEURONS = {"binary": BINARY, "integer": INTEGER}

Cell = tuple[str, str, float, str, int]


def cells(seeds: int) -> list[Cell]:
    """All of them; a seed of all comes before the next, so that a run that is stopped has whole tables."""
    return [
        (spikes, reset, tau, neuron, seed)
        for seed, (spikes, neurons) in itertools.product(range(seeds), NEURONS.items())
        for reset, tau, neuron in itertools.product(("hard", "soft"), TAUS, neurons)
    ]


def measure(cell: Cell, epochs: int | None) -> dict[str, Any]:
    """Train one cell and read its row."""
    spikes, reset, tau, name, seed = cell
    torch.set_num_threads(1)
    # Integer spikes count several thresholds, so the currents have to reach them.
    drive = 1.0 if spikes == "binary" else 2.0
    data = {
        "name": "lif_teacher", "tau": tau, "reset": reset, "levels": None if spikes == "binary" else LEVELS,
        "mean": 0.5 * drive, "deviation": 0.5 * drive, "seed": seed,
    }  # fmt: skip
    changes = {"data": data, "neuron": NEURONS[spikes][name](tau, reset), "seed": seed, "accelerator": "cpu"}
    recipe = read_yaml(find_recipe("expressivity"))
    experiment = experiment_from(merge(recipe, changes | ({} if epochs is None else {"epochs": epochs})))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in train(experiment, Path(folder) / "run"):
            pass
        run = load_run(Path(folder) / "run")
    seconds = time.perf_counter() - start
    model, dataset = run.model, run.dataset
    assert isinstance(model, Single)
    agreements = []
    with torch.no_grad():
        for split in (dataset.validation, dataset.test):
            batch = split.batch(slice(None))
            outputs, _ = model(batch.inputs)
            agreements.append((outputs == batch.targets.transpose(0, 1)).double().mean((0, 1)))
    chosen = int(agreements[0].argmax())
    test = dataset.test.batch(slice(None))
    taught = teacher(tau, reset, data["levels"]).trace(test.inputs)["membrane"]  # type: ignore[arg-type]
    learnt = model.neurons[chosen].trace(model.charge(test.inputs, chosen).detach())["membrane"]
    counts = test.targets.long().flatten().bincount()
    values = {
        "agreement": float(agreements[1][chosen]),
        "majority": float(counts.max() / counts.sum()),
        "membrane_correlation": correlation(taught, learnt),
        "restarts_mean": float(agreements[1].mean()),
        "restarts_worst": float(agreements[1].min()),
        "teacher_rate": float(test.targets.mean()),
    }
    return {
        **dict(zip(KEY, cell, strict=True)),
        **{name: f"{value:.4f}" for name, value in values.items()},
        "epochs": experiment.epochs,
        "seconds": f"{seconds:.1f}",
        "machine": machine(),
    }


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, over all steps and samples; NaN for a membrane that never moves."""
    return float(torch.corrcoef(torch.stack([a.double().flatten(), b.double().flatten()]))[0, 1])


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(rows: list[dict[str, str]]) -> str:
    """Markdown: a table for binary and one for integer spikes."""
    parts = [
        "# How well a neuron imitates a LIF\n",
        "Made by `python -m benchmarks.expressivity` from `expressivity.csv`.\n",
    ]
    for spikes, neurons in NEURONS.items():
        of = [row for row in rows if row["spikes"] == spikes]
        if not of:
            continue
        parts.append(f"## {spikes.capitalize()} spikes\n")
        parts.append(
            "Steps of the test split with the teacher's spikes, in %: mean over seeds, the range in brackets; then the "
            "correlation of the membranes.\n"
        )
        parts.append("| teacher | always the same answer | " + " | ".join(neurons) + " |")
        parts.append("|" + "---|" * (len(neurons) + 2))
        for reset, tau in itertools.product(("hard", "soft"), TAUS):
            here = [row for row in of if row["reset"] == reset and float(row["tau"]) == tau]
            texts = [share([row["majority"] for row in here if row["neuron"] == "dsn"])]
            for neuron in neurons:
                found = [row for row in here if row["neuron"] == neuron]
                texts.append(f"{share([row['agreement'] for row in found])}{membrane(found)}")
            parts.append(f"| {reset} reset, tau {tau:g} | " + " | ".join(texts) + " |")
        parts.append("")
    machines = sorted({row["machine"] for row in rows})
    seeds = len({row["seed"] for row in rows})
    parts += [PUBLISHED + "\n", f"{seeds} seeds; {'; '.join(machines)}.\n"]
    return "\n".join(parts)


def share(values: list[str]) -> str:
    """Mean and range in percent."""
    if not values:
        return "-"
    numbers = [100.0 * float(value) for value in values]
    mean = f"{statistics.mean(numbers):.2f}"
    return mean if len(numbers) == 1 else f"{mean} [{min(numbers):.2f}, {max(numbers):.2f}]"


def membrane(rows: list[dict[str, str]]) -> str:
    """The mean correlation."""
    return f"; {statistics.mean(float(row['membrane_correlation']) for row in rows):.3f}" if rows else ""


def main() -> None:
    """Compute the cells that are not there yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=None, help="instead of the recipe's")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--limit", type=int, default=None, help="at most so many cells, for a trial")
    given = parser.parse_args()
    done = {tuple(row[name] for name in KEY) for row in read_rows(given.output)}
    left = [cell for cell in cells(given.seeds) if tuple(map(str, cell)) not in done][: given.limit]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with given.output.open("a", newline="") as file, ProcessPoolExecutor(given.workers, context) as pool:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            writer.writeheader()
        for number, future in enumerate(
            as_completed([pool.submit(measure, cell, given.epochs) for cell in left]), start=1
        ):
            row = future.result()
            writer.writerow(row)
            file.flush()
            print(
                f"{number}/{len(left)}", *(row[name] for name in (*KEY, "agreement", "majority", "seconds")), flush=True
            )
    given.output.with_suffix(".md").write_text(table(read_rows(given.output)), encoding="utf-8")


if __name__ == "__main__":
    main()
