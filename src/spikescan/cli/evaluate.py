"""spikescan eval"""

import json
from dataclasses import asdict, replace
from typing import Literal

from rich.console import Console

from spikescan.cli.parsing import command_parser, parse
from spikescan.files import write_text
from spikescan.training import Run, evaluate, launch_fabric, load_run

__all__ = ["run", "show_evaluation"]


def run(arguments: list[str]) -> int:
    """Loss, score and firing rates of a run."""
    parser = command_parser("eval")
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--split", type=Literal["test", "validation", "train"], default="test", help="which samples")
    parser.add_argument("--last", type=bool, default=False, help="weights of the last epoch, not of the best one")
    parser.add_argument("--batch_size", type=int, default=256, help="samples at once")
    given = parse(parser, arguments)
    loaded = load_run(given["run"], last=given["last"])
    show_evaluation(Console(highlight=False), loaded, given["split"], given["batch_size"])
    return 0


def show_evaluation(console: Console, loaded: Run, split: str, batch_size: int) -> None:
    """Evaluate on one split, keep the result in the run folder as ``evaluation-SPLIT.json``, and print it."""
    # One process: it needs no sharing out, whatever the training used.
    fabric = launch_fabric(replace(loaded.experiment, devices=1, num_nodes=1, strategy="auto"))
    model = fabric.setup_module(loaded.model)
    found = evaluate(fabric, model, loaded.task, getattr(loaded.dataset, split), batch_size)
    loaded.model.cpu()
    kept = {"split": split, "epoch": loaded.epoch, "score_name": loaded.task.score_name} | asdict(found)
    write_text(loaded.folder / f"evaluation-{split}.json", json.dumps(kept, indent=2) + "\n")
    samples = f"{found.samples:,} samples of the {split} split of {loaded.dataset.name}"
    console.print(f"{samples}, weights of epoch {loaded.epoch}")
    console.print(f"{loaded.task.score_name} {found.score:.4f}  loss {found.loss:.4f}")
    for layer, rate in found.firing_rates.items():
        console.print(f"firing rate of {layer}: {rate:.4f} spikes a neuron and step")
