"""CIFAR-10 as sequences: from the official batches, binary or for Python, or an ``.npz``."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from spikescan.data.dataset import Dataset
from spikescan.data.files import find_file, has_file, locate, read_bytes, read_npz
from spikescan.data.images import NPZ_KEYS, Flip, Images, Layout, Shift, check_images, image_dataset
from spikescan.data.splits import hold_out
from spikescan.errors import DataError

__all__ = ["cifar10"]

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ARCHIVES = ("cifar10.npz", "cifar10_small.npz")
_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_EXPECTED = (
    f"The folder holds the official batches, data_batch_1 to data_batch_5 and test_batch (for Python) or these with "
    f".bin (binary), or {' or '.join(_ARCHIVES)} ({', '.join(NPZ_KEYS)}; images [N, 32, 32, 3])."
)


def cifar10(
    *,
    path: str | None = None,
    columns: bool = False,
    permutation_seed: int | None = None,
    flip: bool = False,
    shift: int = 0,
    validation: int | None = None,
    split_seed: int = 0,
) -> Dataset:
    """CIFAR-10, 50,000 training and 10,000 test images in colour (Krizhevsky, 2009).

    Two protocols bear the name "sequential CIFAR-10": `columns` is that of the PSN paper (Fang et al., NeurIPS 2023).

    Args:
        path: a folder with the official batches (``cifar-10-batches-py`` or ``cifar-10-batches-bin``), or with
            ``cifar10.npz`` or ``cifar10_small.npz``, or such a file; None reads the environment variable
            ``SPIKESCAN_DATA``, in which a folder ``cifar10``, ``cifar-10-batches-py``, ``cifar-10-batches-bin`` or
            ``cifar10_small`` is looked into first.
        columns: a time step is a column of 32 pixels, ``[T, B, 3, 32]`` with T = 32; else it is one pixel,
            ``[T, B, 3]`` with T = 1,024.
        permutation_seed: shuffles the pixels of all images alike, before they are cut into steps; None keeps them.
        flip: mirrors training images, every other one at random, anew in each epoch.
        shift: moves training images at random by up to this many pixels; what comes in is black.
        validation: how many training images are held out for validation, drawn class by class; None a tenth.
        split_seed: decides which.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    if shift < 0:
        raise DataError(f"shift is {shift}, expected 0 or more pixels.")
    folders = ("cifar10", "cifar-10-batches-py", "cifar-10-batches-bin", "cifar10_small")
    place = locate("CIFAR-10", folders, path, _EXPECTED)
    train, test = (_read(place, part) for part in ("train", "test"))
    held, rest = hold_out(train.classes, validation, split_seed, "images")
    name = "CIFAR-10" if len(train) == 50_000 else f"CIFAR-10 ({len(train):,} + {len(test):,} images)"
    changes = (Flip(),) * flip + (Shift(shift),) * (shift > 0)
    layout = Layout(_SHAPE, columns, permutation_seed)
    parts = train.take(rest), train.take(held), test
    return image_dataset(name, *parts, layout, changes, class_names=_CLASSES)


def _read(place: Path, part: str) -> Images:
    archive = next((place / name for name in _ARCHIVES if (place / name).is_file()), place)
    if archive.is_file():
        arrays = read_npz(archive, NPZ_KEYS, _EXPECTED)
        images, classes = arrays[f"x_{part}"], arrays[f"y_{part}"]
        check_images(place, images, classes, part, ((32, 32, 3),))
        return Images.of(images.transpose(0, 3, 1, 2), classes, _SHAPE)
    batches = [_read_batch(place, name) for name in _BATCHES[part]]
    images, classes = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    check_images(place, images, classes, part, ((_PIXELS,),))
    return Images.of(images, classes, _SHAPE)


def _read_batch(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    if has_file(folder, f"{name}.bin"):
        return _read_binary(find_file("CIFAR-10", folder, [f"{name}.bin"], _EXPECTED))
    return _read_python(find_file("CIFAR-10", folder, [name], _EXPECTED))


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Records of a byte for the class and 3,072 for the pixels."""
    content = read_bytes(path)
    if not content or len(content) % (1 + _PIXELS):
        raise DataError(
            f"{path} has {len(content)} bytes, which is no multiple of {1 + _PIXELS} (a label, 3 x 32 x 32 pixels): it is "
            f"truncated or no binary batch of CIFAR-10. Fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return records[:, 1:], records[:, 0]


def _read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _PlainUnpickler(io.BytesIO(read_bytes(path)), encoding="bytes").load()
        images, classes = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    # Damaged pickles fail in any way.
    except Exception as error:
        message = f"{path} is no batch of CIFAR-10 for Python, or a damaged one ({error}). Fetch it again."
        raise DataError(message) from error
    return images, classes


class _PlainUnpickler(pickle.Unpickler):
    """Reads arrays, and refuses all that could run code."""

    _ALLOWED = (("_reconstruct", "numpy"), ("ndarray", "numpy"), ("dtype", "numpy"), ("encode", "_codecs"))

    def find_class(self, module: str, name: str) -> Any:
        if (name, module.partition(".")[0]) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        if name == "_reconstruct":
            from numpy._core.multiarray import _reconstruct

            return _reconstruct
        return super().find_class(module, name)
