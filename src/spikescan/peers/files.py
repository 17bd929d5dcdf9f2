"""State dicts from files, and single neurons to and from files."""

import inspect
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from spikescan.errors import CheckpointError, DataError, InputError
from spikescan.files import write_bytes
from spikescan.firing import firing_to
from spikescan.neurons import Neuron, create_neuron, list_neurons
from spikescan.neurons.registry import neuron_class

__all__ = ["below", "load_neuron", "read_state", "save_neuron"]

_FORMAT = "spikescan.neuron.1"
# What the readers of the three kinds raise on a file that is cut off or of another kind.
_DAMAGED = (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, TypeError, RuntimeError, EOFError)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a file: ``.safetensors``, ``.npz``, or ``.pt`` and ``.pth``.

    One of ``torch.save(module.state_dict(), path)`` is read with ``weights_only=True``, so that nothing in it is executed.

    Raises:
        DataError: the file is missing, damaged, of another kind, or holds something else than named tensors.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", ".npz", ".pt", ".pth"):
        raise DataError(f"{path} is not a .safetensors, .npz, .pt or .pth file.")
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    try:
        if suffix == ".safetensors":
            return load_file(path)
        if suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} is damaged, or holds more than named tensors ({reason}). Save module.state_dict()."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path} holds no state dict; write one with torch.save(module.state_dict(), path).")
    return dict(state)


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a network's state dict that belongs to the module `prefix`: ``layers.3.bias`` as ``bias`` for ``layers.3``.

    Raises:
        InputError: there is no such module.
    """
    if not prefix:
        return dict(state)
    start = prefix.removesuffix(".") + "."
    found = {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
    if not found:
        modules = sorted({name.rpartition(".")[0] for name in state} - {""})
        raise InputError(
            f"There is nothing below {prefix!r} in this state dict; it has {', '.join(modules) or 'no modules'}."
        )
    return found


def save_neuron(neuron: Neuron, path: str | os.PathLike[str]) -> None:
    """Write a neuron to a file (safetensors): its name, its options and its parameters; as a whole or not at all.

    Of a generator nothing is kept: a neuron that draws takes torch's default when it is read.

    Raises:
        InputError: it is not one of `list_neurons()`.
    """
    name = next((name for name in list_neurons() if neuron_class(name) is type(neuron)), None)
    if name is None:
        raise InputError(f"save_neuron: {type(neuron).__name__} is none of {', '.join(list_neurons())}.")
    # What a neuron does not keep are the first values of its parameters, and those are in the file.
    arguments = [key for key in inspect.signature(type(neuron)).parameters if key != "generator"]
    options = {key: getattr(neuron, key) for key in arguments if hasattr(neuron, key)}
    if "firing" in arguments:
        options["firing"] = firing_to(neuron.firing)
    header = {"format": _FORMAT, "neuron": name, "options": json.dumps(options)}
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in neuron.state_dict().items()}
    write_bytes(Path(path), save(tensors, header))


def load_neuron(path: str | os.PathLike[str]) -> Neuron:
    """The neuron that `save_neuron` or ``spikescan import`` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or not of `save_neuron`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not iterable)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}; save_neuron(neuron, path) writes one.") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or not a file of save_neuron ({error}).") from error
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} has the format {header.get('format')!r}, expected {_FORMAT!r}, as of save_neuron."
        )
    options: dict[str, Any] = json.loads(header["options"])
    channels, time_steps = options.pop("channels", 1), options.pop("time_steps", None)
    neuron = create_neuron(header["neuron"], channels, time_steps, options)
    numbers = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), torch.float32)
    neuron.to(numbers).load_state_dict(tensors)
    return neuron
