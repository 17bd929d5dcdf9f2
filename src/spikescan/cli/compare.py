"""spikescan compare"""

import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from spikescan import ops
from spikescan.cli.comparing import show
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import kind_named, load_recipe
from spikescan.comparison import (
    CONTENDERS,
    CONTROLS,
    FIRINGS,
    AnyExperiment,
    Choice,
    Folders,
    plan,
    run_trials,
    settled,
    still_to_do,
)
from spikescan.comparison.publish import write_page, write_table
from spikescan.comparison.running import Finished, Progress
from spikescan.errors import InputError

__all__ = ["run"]

_LOST = 1

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "neurons": {
        "type": str,
        "default": ",".join(CONTENDERS),
        "help": "which, as a,b,c: these, or any of spikescan list neurons",
    },
    "seeds": {"type": int, "default": 3, "help": "how many, from the recipe's on"},
    "firing": {"type": str, "default": ",".join(FIRINGS), "help": "binary, integer or both"},
    "controls": {"type": str, "default": ",".join(CONTROLS), "help": "which, as a,b,c; none for none"},
    "shuffled": {
        "type": str,
        "default": "",
        "help": "the neurons of the control shuffled; else the first of --neurons",
    },
    "options": {
        "type": dict[str, dict[str, Any]],
        "default": {},
        "help": 'of neurons, in place of the usual: {"lif": {"tau": 20}}',
    },
    "output": {"type": str, "default": "", "help": "the results folder; else results/RECIPE"},
    "runs": {"type": str, "default": "", "help": "keep the run folders of all cells there"},
    "workers": {"type": int, "default": 1, "help": "cells at once, each on its share of the cores"},
    "limit_minutes": {"type": float | None, "default": None, "help": "start no cell after so long"},
    "table": {"action": "store_true", "default": False, "help": "train nothing, write the table of what is done"},
    "again": {
        "action": "store_true",
        "default": False,
        "help": "replace cells that failed or are of another experiment",
    },
}


def run(arguments: list[str]) -> int:
    """Train what is not done yet, and write the table of all that is."""
    parser = command_parser("compare")
    parser.add_argument("recipe", help="a name (spikescan list recipes) or the path of a YAML file")
    for name, argument in _ARGUMENTS.items():
        parser.add_argument(*dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]), **argument)
    parser.add_class_arguments(kind_named(arguments), None)
    changes = parse(parser, arguments, defaults=False)
    recipe = changes.pop("recipe")
    given = Namespace(**{name: changes.pop(name, argument["default"]) for name, argument in _ARGUMENTS.items()})
    folder = Path(given.output or Path("results") / Path(recipe).stem)
    console = Console(highlight=False)
    if given.table:
        _publish(console, folder, Path(recipe).stem)
        return 0
    return _train(console, load_recipe(recipe, changes), given, folder, Path(recipe).stem)


def _train(console: Console, recipe: AnyExperiment, given: Namespace, folder: Path, title: str) -> int:
    choice = Choice(
        neurons=_names(given.neurons),
        firings=_names(given.firing),
        controls=[] if given.controls == "none" else _names(given.controls),
        shuffled=_names(given.shuffled) if given.shuffled else None,
        seeds=given.seeds,
        options=given.options,
    )
    trials = plan(*settled(recipe), choice)
    folders = Folders(folder, Path(given.runs or folder / "unfinished"), keep=bool(given.runs))
    left = still_to_do(trials, folders, again=given.again)
    until = None if given.limit_minutes is None else time.monotonic() + 60.0 * given.limit_minutes
    ops.retain_freed_memory()
    try:
        with closing(run_trials(left, folders, workers=given.workers, until=until)) as events:
            lost = show(console, _with_table(events, folder, title), trials, left, given.workers)
    except KeyboardInterrupt:
        console.print("Stopped; what is finished is kept. Go on: the same command again.", soft_wrap=True)
        raise
    if not folders.keep and folders.runs.exists() and not any(folders.runs.iterdir()):
        folders.runs.rmdir()
    _publish(console, folder, title)
    return _LOST if lost else 0


def _publish(console: Console, folder: Path, title: str) -> None:
    for path in [*write_table(folder, title), write_page(folder, title)]:
        console.print(f"Written: {path}", soft_wrap=True)


def _with_table(events: Iterable[Progress], folder: Path, title: str) -> Iterator[Progress]:
    """The events; the table is made anew whenever a cell is done."""
    for event in events:
        if isinstance(event, Finished):
            write_table(folder, title)
        yield event


def _names(text: str) -> list[str]:
    """Of ``a,b,c``, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError(f"{text!r} holds no name, expected a list such as dsn,lif.")
    return names
