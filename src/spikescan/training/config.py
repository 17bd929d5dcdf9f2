"""One experiment as a value, and its YAML."""

import math
from argparse import ArgumentError
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from spikescan.errors import InputError
from spikescan.names import check_names

__all__ = ["Experiment", "check_seed", "experiment_from", "merge", "read_yaml", "to_yaml"]

E = TypeVar("E")


@dataclass(frozen=True)
class Experiment:
    """Everything that decides the outcome of a training run.

    `data`, `task`, `model`, `neuron`, `optimiser` and `schedule` are each a name and the options of what bears that
    name: ``{"name": "dsn", "initial_decay": [0.5, 0.995]}``.

    Args:
        data: the dataset (`spikescan list data`).
        task: loss and score (`spikescan list tasks`); the name auto takes the plain one for the data's targets, and
            `class_weights: balanced` is counted on the training split. The run folder holds what was taken.
        model: the network (`spikescan list models`).
        neuron: its neurons (`spikescan list neurons`).
        optimiser: adamw or sgd.
        schedule: of the learning rate over the whole run: one_cycle, cosine or constant.
        epochs: passes over the training split.
        batch_size: samples an update, over all processes together.
        seed: of the initial weights, the order of the samples and everything random in the model.
        clip_norm: longest gradient (2-norm over all parameters); null does not clip.
        auxiliary_weight: lam in (1 - lam) task loss + lam times the sum of the neurons' auxiliary losses, for neurons that
            have one (mpe_psn, whose paper takes 0.01); the losses shown are the task's. 0 collects none.
        average: epochs that the weights are averaged over, as `spikescan.training.averaging` says: the averages are validated
            and saved, while training goes on from its own weights. 0 takes these as they are.
        bucket: bring samples of similar length into one batch, which is cut to the longest of them; nothing where all samples
            are equally long. See `spikescan.training.order`.
        shuffle_time: put the time steps of every sample, in training and evaluation, in a random order of its own: a control
            that shows what order is worth.
        patience: stop after so many epochs without a better validation score; null runs all epochs.
        check_inputs: look for NaN and infinity in the data before training.
        tensorboard: write the metrics for TensorBoard too.
        accelerator: of Lightning Fabric: auto, cpu, cuda, mps.
        devices: of Lightning Fabric: how many, or a list, or auto.
        num_nodes: of Lightning Fabric: how many machines.
        strategy: of Lightning Fabric: auto, ddp, ...
        precision: of Lightning Fabric: 32-true, bf16-mixed, 16-mixed, 64-true, ...
    """

    data: dict[str, Any] = field(default_factory=lambda: {"name": "mnist_small"})
    task: dict[str, Any] = field(default_factory=lambda: {"name": "classification"})
    model: dict[str, Any] = field(default_factory=lambda: {"name": "mlp"})
    neuron: dict[str, Any] = field(default_factory=lambda: {"name": "dsn"})
    optimiser: dict[str, Any] = field(default_factory=lambda: {"name": "adamw"})
    schedule: dict[str, Any] = field(default_factory=lambda: {"name": "one_cycle"})
    epochs: int = 10
    batch_size: int = 64
    seed: int = 0
    clip_norm: float | None = 1.0
    auxiliary_weight: float = 0.0
    average: float = 0.0
    bucket: bool = True
    shuffle_time: bool = False
    patience: int | None = None
    check_inputs: bool = False
    tensorboard: bool = False
    accelerator: str = "auto"
    devices: int | list[int] | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "num_nodes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if not 0.0 <= self.auxiliary_weight < 1.0:
            raise InputError(f"auxiliary_weight is {self.auxiliary_weight}, expected 0 to less than 1.")
        if not 0.0 <= self.average < math.inf:
            raise InputError(f"average is {self.average}, expected 0 for none, or a number of epochs such as 3.")
        check_seed(self.seed)
        for name in ("clip_norm", "patience"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected above 0, or null for none.")


def experiment_from(
    values: Mapping[str, Any],
    source: str = "The experiment",
    kind: type[E] = Experiment,  # type: ignore[assignment]  # what E is where it is left out
) -> E:
    """An experiment from plain values, as YAML or a command line gives them.

    Args:
        values: fields by name; those left out keep their defaults.
        source: what the messages call it, such as the file.
        kind: the dataclass to make; other kinds of problem have experiments of their own.

    Raises:
        InputError: a field that does not exist, with the nearest that does; or a value of the wrong type.
    """
    from jsonargparse import ArgumentParser

    check_names(source, "field", map(str, values), [f.name for f in fields(kind)])  # type: ignore[arg-type]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        parsed = parser.parse_object(dict(values))
    except ArgumentError as error:
        raise InputError(f"{source}: {' '.join(str(error).split())}") from error
    return kind(**parsed.as_dict())


def check_seed(seed: int) -> None:
    """Raise `InputError` unless torch's generators take `seed`."""
    if not 0 <= seed < 2**64:
        raise InputError(f"seed is {seed}, expected 0 to {2**64 - 1}.")


def merge(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`recipe` with `changes` on top: options of a choice change one by one; another name drops the old options."""
    merged = dict(recipe)
    for field_name, value in changes.items():
        old = merged.get(field_name)
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("name", old.get("name")) == old.get("name")
        ):
            value = {**old, **value}
        merged[field_name] = value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields in a YAML file.

    Raises:
        InputError: the file cannot be read, is no YAML, or holds something else than fields.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds {type(values).__name__}, expected fields such as 'epochs: 10'.")
    return values


def to_yaml(experiment: Any) -> str:
    """YAML from which `experiment_from` makes the same experiment, a dataclass."""
    import yaml

    text: str = yaml.safe_dump(asdict(experiment), sort_keys=False, default_flow_style=None)
    return text
