"""spikescan eval"""

import json
from dataclasses import asdict, replace
from typing import Literal

from spikescan import control
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import load_any_run
from spikescan.control import ControlRun
from spikescan.errors import InputError
from spikescan.files import write_text
from spikescan.training import Run, evaluate, launch_fabric

__all__ = ["run", "show_evaluation"]


def run(arguments: list[str]) -> int:
    """Loss, score and firing rates of a run."""
    parser = command_parser("eval")
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--split", type=Literal["test", "validation", "train"], default="test", help="which samples")
    parser.add_argument("--last", type=bool, default=False, help="weights of the last epoch, not of the best one")
    parser.add_argument("--batch_size", type=int, default=256, help="samples at once")
    parser.add_argument("--episodes", type=int, default=20, help="of a control run: how many, from seeds of the split")
    given = parse(parser, arguments)
    loaded = load_any_run(given["run"], last=given["last"])
    console = Console(highlight=False)
    if isinstance(loaded, ControlRun):
        _show_returns(console, loaded, given["split"], given["episodes"])
    else:
        show_evaluation(console, loaded, given["split"], given["batch_size"])
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
    _show_rates(console, found.firing_rates)


def _show_returns(console: Console, loaded: ControlRun, split: str, episodes: int) -> None:
    """Let the actor act, keep the result in the run folder as ``evaluation-SPLIT.json``, and print it."""
    if split == "train":
        raise InputError(
            "A control run has episodes of --split test and validation; those of training had exploration."
        )
    found = control.evaluate(loaded, episodes=episodes, split=split)
    kept = {"split": split, "epoch": loaded.epoch, "score_name": "return"} | asdict(found)
    write_text(loaded.folder / f"evaluation-{split}.json", json.dumps(kept, indent=2) + "\n")
    name = loaded.experiment.environment["name"]
    console.print(f"{episodes:,} episodes of {name} from seeds of the {split} split, weights of epoch {loaded.epoch}")
    console.print(f"return {found.mean_return:.1f}, deviation {found.deviation:.1f} over episodes")
    _show_rates(console, found.firing_rates)


def _show_rates(console: Console, rates: dict[str, float]) -> None:
    for layer, rate in rates.items():
        console.print(f"firing rate of {layer}: {rate:.4f} spikes a neuron and step")
