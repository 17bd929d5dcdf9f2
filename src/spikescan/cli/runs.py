"""Experiments and runs of every kind: supervised, on a dataset, and of control, in an environment."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spikescan import control, training
from spikescan.control import AnyExperiment, ControlExperiment, ControlRun, is_control
from spikescan.errors import InputError
from spikescan.recipes import find_recipe
from spikescan.training import Experiment, Run, experiment_from
from spikescan.training.config import merge, read_yaml
from spikescan.training.run import read_config

__all__ = ["AnyExperiment", "kind_named", "load_any_run", "load_recipe", "read_any_experiment"]


def load_any_run(folder: str, *, last: bool = False) -> Run | ControlRun:
    """Read a run back; raises as `spikescan.training.load_run` does."""
    load = control.load_run if is_control(read_config(Path(folder))) else training.load_run
    return load(folder, last=last)


def load_recipe(recipe: str, changes: Mapping[str, Any]) -> AnyExperiment:
    """The experiment of a recipe, changed."""
    path = find_recipe(recipe)
    values = read_yaml(path)
    kind = _kind(values)
    return experiment_from(merge(asdict(experiment_from(values, str(path), kind)), changes), kind=kind)


def read_any_experiment(folder: Path, changes: Mapping[str, Any]) -> AnyExperiment:
    """The experiment of a run folder, changed."""
    values = read_config(folder)
    kind = _kind(values)
    earlier = experiment_from(values, str(folder / "config.yaml"), kind)
    return experiment_from(merge(asdict(earlier), changes), kind=kind)


def kind_named(arguments: list[str]) -> type[AnyExperiment]:
    """The kind of the experiment that a command line names, whose options it may give.

    What is wrong with the recipe or the run is said later, when all of the command line was read.
    """
    try:
        match arguments:
            case ["--resume", folder, *_]:
                return _kind(read_config(Path(folder)))
            case [recipe, *_] if not recipe.startswith("-"):
                return _kind(read_yaml(find_recipe(recipe)))
            case _:
                return Experiment
    except (InputError, OSError):
        return Experiment


def _kind(values: Mapping[str, Any]) -> type[AnyExperiment]:
    return ControlExperiment if is_control(values) else Experiment
