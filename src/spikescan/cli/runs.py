"""Experiments and runs of every kind: supervised, on a dataset, and of control, in an environment."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spikescan import control, training
from spikescan.control import AnyExperiment, ControlExperiment, ControlRun, is_control
from spikescan.recipes import find_recipe
from spikescan.training import Experiment, Run, experiment_from
from spikescan.training.config import merge, read_yaml
from spikescan.training.run import read_config

__all__ = ["AnyExperiment", "load_any_run", "load_recipe", "read_any_experiment", "recipe_kind", "run_kind"]


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


def recipe_kind(recipe: str) -> type[AnyExperiment]:
    """The kind of a recipe's experiment."""
    return _kind(read_yaml(find_recipe(recipe)))


def run_kind(folder: Path) -> type[AnyExperiment]:
    """The kind of a run's experiment."""
    return _kind(read_config(folder))


def _kind(values: Mapping[str, Any]) -> type[AnyExperiment]:
    return ControlExperiment if is_control(values) else Experiment
