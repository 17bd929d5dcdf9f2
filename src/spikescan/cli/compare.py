"""spikescan compare"""

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from spikescan import ops
from spikescan.cli.comparing import show
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.train import load_recipe
from spikescan.comparison import CONTROLS, FIRINGS, Choice, Folders, plan, run_trials, still_to_do
from spikescan.comparison.contenders import CONTENDERS
from spikescan.comparison.table import write_table
from spikescan.errors import InputError
from spikescan.training import Experiment
from spikescan.training.build import build_dataset, settle

__all__ = ["run"]

_LOST = 1


def run(arguments: list[str]) -> int:
    """Train what is not done yet, and write the table of all that is."""
    parser = command_parser("compare")
    parser.add_argument("recipe", help="a name (spikescan list recipes) or the path of a YAML file")
    parser.add_argument(
        "--neurons",
        type=str,
        default=",".join(CONTENDERS),
        help="which, as a,b,c: contenders, or names of list neurons",
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many, from the recipe's on")
    parser.add_argument("--firing", type=str, default=",".join(FIRINGS), help="binary,integer or one of them")
    parser.add_argument(
        "--controls", type=str, default=",".join(CONTROLS), help=f"of {','.join(CONTROLS)}; none for none"
    )
    parser.add_argument(
        "--shuffled", type=str | None, help="the neurons of the control shuffled; else the first of --neurons"
    )
    parser.add_argument(
        "--options", type=dict[str, dict[str, Any]], default={}, help='in place of the usual: {"lif": {"tau": 20}}'
    )
    parser.add_argument("--output", type=str | None, help="the results folder; else results/RECIPE")
    parser.add_argument("--runs", type=str | None, help="keep the run folders of all cells there")
    parser.add_argument("--workers", type=int, default=1, help="cells at once, each on its share of the cores")
    parser.add_argument("--limit_minutes", "--limit-minutes", type=float | None, help="start no cell after so long")
    parser.add_argument("--table", action="store_true", help="train nothing, write the table of what is done")
    parser.add_argument("--again", action="store_true", help="replace cells that failed or are of another experiment")
    parser.add_class_arguments(Experiment, None)
    given = parse(parser, arguments, defaults=False)
    recipe = given.pop("recipe")
    own = {name: given.pop(name, parser.get_default(name)) for name in _OWN}
    folder = Path(own["output"] or Path("results") / Path(recipe).stem)
    console = Console(highlight=False)
    if own["table"]:
        _write_table(console, folder, recipe)
        return 0
    choice = Choice(
        _names(own["neurons"]),
        _names(own["firing"]),
        [] if own["controls"] == "none" else _names(own["controls"]),
        _names(own["shuffled"]) if own["shuffled"] else None,
        own["seeds"],
        own["options"],
    )
    experiment = load_recipe(recipe, given)
    dataset = build_dataset(experiment)
    trials = plan(settle(experiment, dataset), dataset, choice)
    del dataset
    folders = Folders(folder, Path(own["runs"] or folder / "unfinished"), own["runs"] is not None)
    left = still_to_do(trials, folders, again=own["again"])
    ops.retain_freed_memory()
    limit = own["limit_minutes"]
    until = None if limit is None else time.monotonic() + 60.0 * limit
    try:
        lost = show(
            console, run_trials(left, folders, workers=own["workers"], until=until), trials, left, own["workers"]
        )
    except KeyboardInterrupt:
        console.print("Stopped; what is finished is kept. Go on: the same command again.", soft_wrap=True)
        raise
    finally:
        if (folder / "cells").exists():
            _write_table(console, folder, recipe)
    return _LOST if lost else 0


_OWN = (
    "neurons", "seeds", "firing", "controls", "shuffled", "options", "output", "runs", "workers", "limit_minutes",
    "table", "again",
)  # fmt: skip


def _names(text: str) -> list[str]:
    """Of ``a,b,c``, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError(f"{text!r} holds no name, expected a list such as dsn,lif.")
    return names


def _write_table(console: Console, folder: Path, recipe: str) -> None:
    for path in write_table(folder, Path(recipe).stem):
        console.print(f"Written: {path}", soft_wrap=True)
