"""What control runs reached: ``python -m benchmarks.control RUN ...`` evaluates run folders and writes docs/results/control.

For each run its returns over training go to ``docs/results/control/NAME.csv``, and a row to ``docs/results/control.md``: the
return on test episodes of the best epoch and of the last, and how far acting step by step is from one parallel run. Rows of
other runs stay, in ``control/runs.csv``.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from benchmarks.machine import write_rows
from benchmarks.publish import markdown, read_csv
from spikescan.control import ControlRun, action_agreement, evaluate, load_run
from spikescan.files import write_text

RESULTS = Path(__file__).resolve().parents[1] / "docs/results"
TABLE = RESULTS / "control/runs.csv"
EPISODES = 20
HEAD = [
    "run",
    "actor",
    "parameters",
    "steps",
    "minutes",
    "return on test episodes, best epoch by validation",
    "last epoch",
    "best validation mean",
    "spikes a neuron and step",
    "actions that differ, of",
    "by at most",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of control runs, named as they are to be called")
    folders = parser.parse_args().runs
    torch.set_num_threads(1)
    (RESULTS / "control").mkdir(parents=True, exist_ok=True)
    rows = {each["run"]: each for each in read_csv(TABLE)} if TABLE.exists() else {}
    for folder in folders:
        shutil.copy(folder / "metrics.csv", RESULTS / "control" / f"{folder.name}.csv")
        rows[folder.name] = dict(zip([*HEAD, "machine"], [*row(folder), machine(folder)], strict=True))
        print(rows[folder.name])
        write_rows(TABLE, [*HEAD, "machine"], rows.values())
    write_text(RESULTS / "control.md", page(list(rows.values())))


def page(rows: list[dict[str, str]]) -> str:
    text = [
        "# Control",
        f"Made by `python -m benchmarks.control` from run folders; the returns over training are in `control/*.csv`. Means "
        f"over {EPISODES} test episodes, which are the same for all runs, with their deviation. One seed of training each.",
        markdown(HEAD, [[each[name] for name in HEAD] for each in rows]),
        f"{'; '.join(dict.fromkeys(each['machine'] for each in rows))}. The machine ran other programs at the same time, so "
        f"that the minutes, of training without evaluation, are an upper bound.",
    ]
    return "\n\n".join(text) + "\n"


def row(folder: Path) -> list[str]:
    best, last = load_run(folder), load_run(folder, last=True)
    agreement = action_agreement(best, episodes=5)
    tested = evaluate(best, episodes=EPISODES)
    return [
        folder.name,
        actor(best),
        f"{sum(p.numel() for p in best.model.parameters()):,}",
        f"{best.index.step:,}",
        f"{sum(line['seconds'] for line in best.metrics) / 60:.1f}",
        f"{tested.mean_return:.0f} +- {tested.deviation:.0f} (epoch {best.epoch})",
        returned(last),
        f"{best.index.best_score:.0f}",
        f"{tested.firing_rate:.2f}",
        f"{agreement.differing:,} of {agreement.steps:,}",
        f"{agreement.largest_difference:.0e}",
    ]


def returned(run: ControlRun) -> str:
    found = evaluate(run, episodes=EPISODES)
    return f"{found.mean_return:.0f} +- {found.deviation:.0f} (epoch {run.epoch})"


def actor(run: ControlRun) -> str:
    name = run.experiment.actor["name"]
    if name in ("ann", "gru"):
        return name
    memory = " with memory" if run.experiment.actor.get("memory", name != "population") else " without memory"
    return f"{name} of {run.experiment.neuron['name']}{memory}"


def machine(folder: Path) -> str:
    about = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {about['packages'][name]}" for name in ("torch", "gymnasium", "mujoco"))
    return f"{about['processor']}, {about['threads']} thread, {versions}"


if __name__ == "__main__":
    main()
