"""spikescan train"""

import os
import time
from pathlib import Path

from spikescan import control, ops, training
from spikescan.cli.console import Console
from spikescan.cli.display import show
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import AnyExperiment, kind_named, load_recipe, read_any_experiment
from spikescan.control import ControlExperiment
from spikescan.errors import InputError
from spikescan.recipes import list_recipes

__all__ = ["default_folder", "run", "train_and_show"]


def run(arguments: list[str]) -> int:
    """Train a recipe with the changes the command line makes to it, or go on with a run."""
    parser = command_parser("train")
    parser.add_argument("recipe", nargs="?", help="a name (spikescan list recipes) or the path of a YAML file")
    parser.add_argument("--run", type=str | None, help="the run folder to make; else runs/RECIPE-TIME")
    parser.add_argument("--resume", type=str | None, help="a run folder to go on with after its last finished epoch")
    parser.add_class_arguments(kind_named(arguments), None)
    given = parse(parser, arguments, defaults=False)
    recipe, folder, resume = given.pop("recipe", None), given.pop("run", None), given.pop("resume", None)
    if resume is not None:
        if recipe is not None or folder is not None:
            raise InputError("--resume RUN takes recipe and folder from that run: leave RECIPE and --run out.")
        train_and_show(read_any_experiment(Path(resume), given), Path(resume), resume=True)
        return 0
    if recipe is None:
        raise InputError(
            f"spikescan train needs a recipe ({', '.join(list_recipes())}, or a YAML file) or --resume RUN."
        )
    experiment = load_recipe(recipe, given)
    train_and_show(experiment, Path(folder) if folder else default_folder(recipe), resume=False)
    return 0


def default_folder(recipe: str) -> Path:
    """``runs/smnist-20260131-235959``."""
    return Path("runs") / f"{Path(recipe).stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def train_and_show(experiment: AnyExperiment, folder: Path, *, resume: bool) -> None:
    """Train with a live display, and say how to go on if it is interrupted."""
    ops.retain_freed_memory()
    # Every process of a distributed run comes through here; the first one speaks.
    console = Console(quiet=os.environ.get("LOCAL_RANK", "0") != "0")
    try:
        if isinstance(experiment, ControlExperiment):
            show(console, control.train(experiment, folder, resume=resume), experiment.epochs)
        else:
            show(console, training.train(experiment, folder, resume=resume), experiment.epochs)
    except KeyboardInterrupt:
        if (folder / "config.yaml").exists():
            console.print(
                f"Stopped; finished epochs are kept. Go on: spikescan train --resume {folder}",
                highlight=False,
                soft_wrap=True,
            )
        raise
    console.print(f"Run folder: {folder}", highlight=False, soft_wrap=True)
