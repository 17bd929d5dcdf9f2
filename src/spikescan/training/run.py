"""A run folder: what a training run leaves behind, and how it is read back.

``config.yaml``, ``metrics.csv``, ``environment.json``, ``inputs.json``, ``checkpoint/``, and ``scaling.json`` where the inputs
were scaled.
"""

import functools
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spikescan.data import Dataset, Scaling
from spikescan.errors import CheckpointError, DataError, InputError
from spikescan.files import write_text
from spikescan.neurons.base import Temporal
from spikescan.tasks import Task
from spikescan.training.build import build_dataset, build_model, build_task, shape_for
from spikescan.training.checkpoint import Index, load_weights, read_index
from spikescan.training.config import Experiment, experiment_from, read_yaml, to_yaml
from spikescan.training.environment import describe_environment
from spikescan.training.metrics import read_metrics
from spikescan.training.scaling import read_scaling, scaled_as, write_scaling

__all__ = [
    "Run",
    "check_new_folder",
    "check_same_data",
    "check_same_experiment",
    "check_unchanged",
    "discard_measurements",
    "epochs_kept",
    "load_run",
    "read_config",
    "read_experiment",
    "start_folder",
]


_MAY_CHANGE = ("epochs", "patience", "check_inputs", "tensorboard", "accelerator", "devices", "num_nodes", "strategy")
"""What a resumed run may have different. More epochs stretch the schedule."""


@dataclass(frozen=True)
class Run:
    """A run that was read back."""

    folder: Path
    experiment: Experiment
    task: Task
    model: Temporal
    """In eval mode, with the weights of `epoch`."""
    epoch: int
    index: Index
    """All that is known of the checkpoints."""
    metrics: list[dict[str, float]]
    """The rows of ``metrics.csv``."""
    scaling: Scaling | None = None
    """What has to be done to an input that the dataset did not make."""

    @functools.cached_property
    def dataset(self) -> Dataset:
        """As it was scaled in training; loaded when it is first asked for: streaming needs the weights alone.

        Raises:
            DataError: it has other channels or targets than the data that the run was trained on.
        """
        try:
            dataset = build_dataset(self.experiment)
        except DataError as error:
            raise DataError(
                f"{error} The run was trained on what data in {self.folder / 'config.yaml'} says: if it lies elsewhere now, "
                f"change its path there; a path that does not begin at the root begins where you call from."
            ) from error
        check_same_data(self.folder, dataset, self.task, self.index)
        return scaled_as(dataset, self.scaling)


def load_run(folder: Path | str, *, last: bool = False) -> Run:
    """Read a run back.

    Args:
        folder: the run folder.
        last: take the weights of the last epoch; else of the epoch with the best validation score.

    Raises:
        CheckpointError: it is no run folder, no epoch was finished, or a file in it is damaged or foreign.
    """
    folder = Path(folder)
    experiment = read_experiment(folder)
    index = read_index(folder / "checkpoint")
    if index is None:
        raise CheckpointError(f"{folder} holds no finished epoch. Go on with: spikescan train --resume {folder}")
    model = build_model(experiment, index.shape)
    epoch = index.epoch if last else index.best_epoch
    load_weights(folder / "checkpoint", epoch, model)
    metrics = read_metrics(folder / "metrics.csv")
    return Run(folder, experiment, build_task(experiment), model.eval(), epoch, index, metrics, read_scaling(folder))


def read_experiment(folder: Path) -> Experiment:
    """The experiment of a run folder.

    Raises:
        CheckpointError: it is no run folder.
    """
    values = read_config(folder)
    if "environment" in values:
        raise CheckpointError(
            f"{folder} is a run of a control task, which has no dataset: spikescan eval, check, stream, report and train "
            f"--resume take it, and spikescan.control.load_run reads it."
        )
    return experiment_from(values, str(folder / "config.yaml"))


def read_config(folder: Path) -> dict[str, Any]:
    """The fields in the ``config.yaml`` of a run folder, of whatever kind its experiment is.

    Raises:
        CheckpointError: it is no run folder.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is no run folder: it has no config.yaml. `spikescan train RECIPE --run {folder}` makes one."
        )
    return read_yaml(path)


def check_new_folder(folder: Path) -> None:
    """Raise `InputError` if a run lives in `folder`."""
    if (folder / "config.yaml").exists():
        empty = read_index(folder / "checkpoint") is None
        raise InputError(
            f"{folder} holds a run already{', of which no epoch is finished: delete it to begin anew' if empty else ''}. "
            f"Go on with it: spikescan train --resume {folder}; or name another folder: --run FOLDER."
        )


def check_same_experiment(folder: Path, experiment: Experiment) -> None:
    """Raise `InputError` unless `experiment` is that of the run in `folder`, where it decides the numbers."""
    check_unchanged(folder, _decisive(read_experiment(folder)), _decisive(experiment), (*_MAY_CHANGE, "data.path"))


def check_same_data(folder: Path, dataset: Dataset, task: Task, index: Index) -> None:
    """Raise `DataError` unless `dataset` has the channels and targets that the run in `folder` was trained on."""
    mend = f"Let data in {folder / 'config.yaml'} name what the run was trained on, or train a new run."
    try:
        now = shape_for(dataset, task)
    except InputError as error:
        raise DataError(f"The targets of {folder} are no longer of their kind. {error} {mend}") from error
    if (now.inputs, now.outputs) != (index.shape.inputs, index.shape.outputs):
        raise DataError(
            f"{dataset.name} has {now.inputs} input channels and asks for {now.outputs} outputs, but the run in {folder} was "
            f"trained on {index.shape.inputs} and {index.shape.outputs}. {mend}"
        )


def check_unchanged(folder: Path, earlier: dict[str, Any], now: dict[str, Any], may_change: Collection[str]) -> None:
    """Raise `InputError` unless the fields that decide the numbers are `now` as they were in the run in `folder`."""
    changed = [name for name in now if now[name] != earlier[name]]
    if changed:
        name = changed[0]
        raise InputError(
            f"A run is resumed as it was started, but {name} is now {now[name]}, in {folder} it is {earlier[name]}. "
            f"What may change: {', '.join(may_change)}. Start a new run for other values."
        )


def start_folder(folder: Path, experiment: Any, scaling: Scaling | None = None) -> None:
    """Make or go on with a run folder: write what does not change from epoch to epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "environment.json", json.dumps(describe_environment(), indent=2) + "\n")
    write_scaling(folder, scaling)
    write_text(folder / "config.yaml", to_yaml(experiment))


@contextmanager
def epochs_kept(folder: Path) -> Iterator[None]:
    """Within it, an `OSError`, such as that of a full disk, says too that the epochs before are kept and how to go on."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename} could not be written: {error.strerror}" if error.filename else str(error)
        raise OSError(
            error.errno, f"{reason}. Finished epochs are kept. Go on: spikescan train --resume {folder}"
        ) from error


_MEASURED = ("agreement.json", "energy.json", "energy.csv", "evaluation-*.json")
"""What `spikescan check`, `energy` and `eval` leave in a run folder, and reports take from there."""


def discard_measurements(folder: Path) -> None:
    """Delete what was measured on the weights so far: with an epoch more, those of a run are others."""
    for pattern in _MEASURED:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _decisive(experiment: Experiment) -> dict[str, Any]:
    """The fields that decide the numbers."""
    fields = {name: value for name, value in asdict(experiment).items() if name not in _MAY_CHANGE}
    return {**fields, "data": {name: value for name, value in experiment.data.items() if name != "path"}}
