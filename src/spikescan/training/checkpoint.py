"""Checkpoints: weights as safetensors, the optimiser beside them, and an index that says which belong together.

``checkpoint.json`` is written last and in one step, so what it names is always complete: a crash while an epoch is
being saved leaves the epoch before it.
"""

import io
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from spikescan.errors import CheckpointError, InputError
from spikescan.files import write_bytes, write_text

__all__ = ["Index", "ModelShape", "load_training_state", "load_weights", "read_index", "save_checkpoint"]

_FORMAT = "spikescan checkpoint 1"


@dataclass(frozen=True)
class ModelShape:
    """What the data decided about the network, so that it can be built again without the data."""

    inputs: int
    outputs: int
    time_steps: int

    def __post_init__(self) -> None:
        _check_counts(inputs=self.inputs, outputs=self.outputs, time_steps=self.time_steps)


@dataclass(frozen=True)
class Index:
    """What a checkpoint folder holds.

    Args:
        epoch: epochs finished; training goes on after the last of them.
        step: updates made.
        best_epoch: the epoch with the best validation score, whose weights `spikescan eval` uses; among equal scores, which a
            small split has many of, the one with the least validation loss, and then the first. NaN is worse than any
            number.
        best_score: that score; negative where less is better.
        shape: what the network was built for.
        best_loss: the validation loss of that epoch.
    """

    epoch: int
    step: int
    best_epoch: int
    best_score: float
    shape: ModelShape
    best_loss: float = math.inf

    def __post_init__(self) -> None:
        _check_counts(epoch=self.epoch, step=self.step, best_epoch=self.best_epoch)
        for name in ("best_score", "best_loss"):
            if not isinstance(getattr(self, name), int | float):
                raise InputError(f"{name} is {getattr(self, name)!r}, expected a number.")

    def after_epoch(self, steps: int, score: float, loss: float) -> "Index":
        """The index after one more epoch, of `steps` updates, with this validation score, of which more is better."""
        later = replace(self, epoch=self.epoch + 1, step=self.step + steps)
        # The first epoch is the best so far even where its score is minus infinity.
        if self.best_epoch and _rank(score, loss) <= _rank(self.best_score, self.best_loss):
            return later
        return replace(later, best_epoch=later.epoch, best_score=score, best_loss=loss)


def save_checkpoint(folder: Path, model: nn.Module, training_state: dict[str, Any], index: Index) -> None:
    """Add the weights of ``index.epoch``, point the index at them, and drop what it no longer names."""
    folder.mkdir(parents=True, exist_ok=True)
    # clone: safetensors refuses tensors that share memory, such as tied weights.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    # To bytes first: given a path, safetensors and torch say of a full disk what is no OSError.
    write_bytes(_weights(folder, index.epoch), save(weights))
    state = io.BytesIO()
    torch.save(training_state, state)
    write_bytes(_training_state(folder, index.epoch), state.getbuffer())
    write_text(folder / "checkpoint.json", json.dumps({"format": _FORMAT, **asdict(index)}, indent=2) + "\n")
    needed = {_weights(folder, index.epoch), _weights(folder, index.best_epoch), _training_state(folder, index.epoch)}
    for path in {*folder.glob("epoch-*.safetensors"), *folder.glob("epoch-*.pt")} - needed:
        path.unlink()


def read_index(folder: Path) -> Index | None:
    """The index of a checkpoint folder; None where no epoch has been finished.

    Raises:
        CheckpointError: the index is damaged or of another program.
    """
    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != _FORMAT:
            raise KeyError("format")
        return Index(**{**values, "shape": ModelShape(**values["shape"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged, or no index of a spikescan checkpoint ({error!r}).") from error


def load_weights(folder: Path, epoch: int, model: nn.Module) -> None:
    """Put the weights of `epoch` into `model`.

    Raises:
        CheckpointError: the file is missing, truncated, foreign or of another network; the model is as it was.
    """
    path = _weights(folder, epoch)
    try:
        weights = load_file(path)
    except (FileNotFoundError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing, truncated or no safetensors file ({error}).") from error
    own = model.state_dict()
    differences = [
        *(f"it lacks {name}" for name in own if name not in weights),
        *(f"it has {name}, which this network lacks" for name in weights if name not in own),
        *(
            f"{name} is {list(weights[name].shape)}, here {list(tensor.shape)}"
            for name, tensor in own.items()
            if name in weights and weights[name].shape != tensor.shape
        ),
    ]
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise CheckpointError(f"{path} is of another network: {'; '.join(differences[:3])}{more}.")
    model.load_state_dict(weights)


def load_training_state(folder: Path, epoch: int) -> dict[str, Any]:
    """What `save_checkpoint` was given beside the weights.

    Raises:
        CheckpointError: the file is missing, truncated or foreign.
    """
    path = _training_state(folder, epoch)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file makes it stumble over
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is missing, truncated or no training state ({reason}).") from error
    if not isinstance(state, dict) or "optimiser" not in state:
        raise CheckpointError(f"{path} holds no training state of spikescan.")
    return state


def _rank(score: float, loss: float) -> tuple[float, float]:
    """Greater for the better epoch; NaN is the worst score and the worst loss."""
    return (-math.inf if math.isnan(score) else score, -math.inf if math.isnan(loss) else -loss)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 0:
            raise InputError(f"{name} is {count!r}, expected a whole number, at least 0.")


def _weights(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.safetensors"


def _training_state(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.pt"
