"""Images as sequences: pixel by pixel or column by column, in order or permuted, and moved at random in training."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikescan.data.dataset import Batch, Dataset, Split
from spikescan.data.files import find_file, read_npz
from spikescan.data.idx import read_idx
from spikescan.data.sources import Layout
from spikescan.data.splits import AsFloat
from spikescan.errors import DataError

__all__ = [
    "NPZ_KEYS",
    "Flip",
    "Images",
    "Jitter",
    "Layout",
    "Shift",
    "check_images",
    "idx_expected",
    "image_dataset",
    "read_idx_images",
]

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
_IDX_STEMS = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}


@dataclass(frozen=True)
class Jitter:
    """Moves images by up to `pixels` in both directions, and turns and shears them by up to a tenth of that in radians."""

    pixels: int

    def __call__(self, images: Tensor) -> Tensor:
        """``[n, channels, height, width]`` to the same."""
        n = len(images)
        maps = torch.eye(2, 3).repeat(n, 1, 1)
        maps[:, [0, 1], [1, 0]] = (2 * torch.rand(n, 2) - 1) * 0.1 * self.pixels
        # A unit of affine_grid is half an image.
        maps[:, :, 2] = torch.randint(-self.pixels, self.pixels + 1, (n, 2)) * (2 / images.shape[-1])
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)


@dataclass(frozen=True)
class Flip:
    """Mirrors every other image, left and right."""

    def __call__(self, images: Tensor) -> Tensor:
        """``[n, channels, height, width]`` to the same."""
        mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
        return torch.where(mirrored, images.flip(-1), images)


@dataclass(frozen=True)
class Shift:
    """Moves each image by up to `pixels` whole pixels in both directions; what comes in is black."""

    pixels: int

    def __call__(self, images: Tensor) -> Tensor:
        """``[n, channels, height, width]`` to the same."""
        n, _, height, width = images.shape
        padded = functional.pad(images, [self.pixels] * 4)
        down, right = torch.randint(2 * self.pixels + 1, (2, n, 1))
        rows, columns = down + torch.arange(height), right + torch.arange(width)
        return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Changed:
    """Changes to images, applied to their sequences."""

    layout: Layout
    changes: tuple[Callable[[Tensor], Tensor], ...]

    def __call__(self, batch: Batch) -> Batch:
        images = self.layout.images(batch.inputs.transpose(0, 1).contiguous())
        for change in self.changes:
            images = change(images)
        return replace(batch, inputs=self.layout.sequences(images).transpose(0, 1).contiguous())


@dataclass(frozen=True)
class Images:
    """Images uint8 ``[N, channels, height, width]`` and their classes int64 ``[N]``."""

    pixels: Tensor
    classes: Tensor

    @classmethod
    def of(cls, pixels: np.ndarray, classes: np.ndarray, shape: tuple[int, int, int]) -> "Images":
        """From arrays of any layout that `shape` fits, channels first."""
        tensor = torch.from_numpy(np.array(pixels, np.uint8)).view(-1, *shape)
        return cls(tensor, torch.from_numpy(np.array(classes, np.int64)))

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, indices: Tensor) -> "Images":
        """Those at `indices`."""
        return Images(self.pixels[indices], self.classes[indices])


def image_dataset(
    name: str,
    train: Images,
    validation: Images,
    test: Images,
    layout: Layout,
    changes: tuple[Callable[[Tensor], Tensor], ...] = (),
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Ten classes of images as sequences of values 0 to 1; `changes` are made to training images, anew in each epoch."""
    encode = AsFloat(255)
    augment = _Changed(layout, changes) if changes else None

    def split(images: Images, augment: _Changed | None = None) -> Split:
        return Split(layout.sequences(images.pixels), images.classes, augment=augment, encode=encode)

    return Dataset(
        name=name,
        classes=10,
        train=split(train, augment),
        validation=split(validation),
        test=split(test),
        source=layout,
        class_names=class_names,
    )


def idx_expected(archives: tuple[str, ...]) -> str:
    """A sentence on the files of MNIST and its relatives."""
    files = ", ".join(f"{stem}-{kind}" for stem, kind in _IDX_STEMS.values())
    return (
        f"The folder holds {' or '.join(archives)} ({', '.join(NPZ_KEYS)}) or the official files {files}, plain or .gz."
    )


def read_idx_images(title: str, place: Path, archives: tuple[str, ...]) -> tuple[Images, Images]:
    """Training and test images 28 x 28 of MNIST and its relatives.

    Args:
        title: the dataset's name, for messages.
        place: an ``.npz`` file, or the folder that holds one or the official IDX files.
        archives: names of the ``.npz`` files looked for in a folder.

    Raises:
        DataError: a file is missing or damaged.
    """
    expected = idx_expected(archives)
    archive = next((place / name for name in archives if (place / name).is_file()), place if place.is_file() else None)
    if archive is not None:
        arrays = read_npz(archive, NPZ_KEYS, expected)
    else:
        arrays = {key: _read_official(title, place, key, expected) for key in _IDX_STEMS}
    parts = []
    for part in ("train", "test"):
        check_images(place, arrays[f"x_{part}"], arrays[f"y_{part}"], part, ((28, 28), (784,)))
        parts.append(Images.of(arrays[f"x_{part}"], arrays[f"y_{part}"], (1, 28, 28)))
    return parts[0], parts[1]


def _read_official(title: str, folder: Path, key: str, expected: str) -> np.ndarray:
    stem, kind = _IDX_STEMS[key]
    return read_idx(find_file(title, folder, [f"{stem}-{kind}", f"{stem}.{kind}"], expected), dimensions=int(kind[3]))


def check_images(
    place: Path, images: np.ndarray, targets: np.ndarray, part: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    """Raise `DataError` unless these are uint8 images of one of `shapes`, each with a class 0 to 9."""
    if images.shape[1:] not in shapes or images.dtype != np.uint8:
        wanted = ", ".join(map(str, shapes[0]))
        raise DataError(
            f"{place}: the {part} images are {images.dtype} {list(images.shape)}, expected uint8 [N, {wanted}]."
        )
    if targets.shape != (len(images),):
        raise DataError(f"{place}: {len(images)} {part} images, but labels of shape {list(targets.shape)}.")
    if len(targets) == 0 or targets.min() < 0 or targets.max() > 9:
        raise DataError(f"{place}: the {part} labels must be 0 to 9, one for each of at least one image.")
