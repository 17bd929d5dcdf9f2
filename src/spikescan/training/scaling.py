"""How the inputs of a run were scaled, kept in its folder: the weights know no other inputs."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from spikescan.data import Dataset, Scaling, Split
from spikescan.errors import CheckpointError, DataError
from spikescan.files import write_text

__all__ = ["read_scaling", "scaled_as", "write_scaling"]

_FILE = "scaling.json"


def write_scaling(folder: Path, scaling: Scaling | None) -> None:
    """Keep what `read_scaling` needs: no file where nothing was scaled."""
    if scaling is not None:
        values = {"mean": scaling.mean.tolist(), "deviation": scaling.deviation.tolist()}
        write_text(folder / _FILE, json.dumps(values) + "\n")


def read_scaling(folder: Path) -> Scaling | None:
    """What was done to the inputs of a run; None for nothing.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        # float32 said: without it torch has no one error for what is no number.
        mean, deviation = (torch.tensor(values[name], dtype=torch.float32) for name in ("mean", "deviation"))
        if mean.shape != deviation.shape or not (mean.isfinite() & (deviation > 0.0)).all():
            raise ValueError("expected finite means and as many deviations above 0")
        return Scaling(mean, deviation)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}).") from error


def scaled_as(dataset: Dataset, scaling: Scaling | None) -> Dataset:
    """The dataset under the `scaling` of a run, whatever its own statistics are by now.

    Raises:
        DataError: one of the two is scaled and the other is not, or they differ in shape.
    """
    own = dataset.scaling
    shapes = [None if each is None else list(each.mean.shape) for each in (own, scaling)]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{dataset.name} is scaled over {shapes[0] or 'nothing'}, in the run folder {_FILE} over "
            f"{shapes[1] or 'nothing'}: expected the same. Put back the {_FILE} and the data of config.yaml that belong "
            f"to the run, or train a new one."
        )
    if own is None or scaling is None:
        return dataset
    if torch.equal(own.mean.float(), scaling.mean) and torch.equal(own.deviation.float(), scaling.deviation):
        return dataset  # by far the usual case; undone and done again, the last bits would differ

    def again(split: Split) -> Split:
        return replace(split, inputs=scaling(own.undone(split.inputs)))

    return replace(
        dataset,
        train=again(dataset.train),
        validation=again(dataset.validation),
        test=again(dataset.test),
        scaling=scaling,
    )
