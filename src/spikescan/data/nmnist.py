"""N-MNIST: the digits of MNIST as an event camera saw them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from spikescan.data.camera import Binning, Events, check_on_sensor, read_event_archive
from spikescan.data.dataset import Dataset
from spikescan.data.files import locate
from spikescan.data.images import Jitter
from spikescan.data.splits import hold_out
from spikescan.errors import DataError

__all__ = ["nmnist", "read_atis"]

_SENSOR = (34, 34)
_ARCHIVE = "nmnist_small.npz"
_EXPECTED = (
    "The folder holds the official folders Train and Test, each with folders 0 to 9 of files such as 00002.bin; or "
    f"{_ARCHIVE}."
)
_OVERFLOW_ROW = 240
_OVERFLOW_MICROSECONDS = 1 << 13


def nmnist(
    *,
    path: str | None = None,
    frames: int = 10,
    bin_by: Literal["time", "count"] = "time",
    duration: int | None = None,
    downsample: int = 1,
    flatten: bool = False,
    jitter: int = 0,
    validation: int | None = None,
    split_seed: int = 0,
) -> Dataset:
    """N-MNIST, 60,000 training and 10,000 test recordings of 0.3 s, 34 x 34 pixels (Orchard et al., 2015).

    Of the archive of 1,100 recordings, the last 200 of the 1,000 for training are tested too: 800 and 300.

    Args:
        path: the folder of ``Train`` and ``Test``, or that of ``nmnist_small.npz``, or this file; None reads the
            environment variable ``SPIKESCAN_DATA``, in which a folder ``nmnist``, ``NMNIST`` or ``nmnist_small`` is
            looked into first.
        frames: T, into how many bins a recording is cut.
        bin_by: ``"time"``, bins of equal duration; or ``"count"``, bins of equal numbers of events.
        duration: microseconds that are cut; None takes each recording whole. By time only.
        downsample: sums squares of this many by this many pixels: 1, 2, 17 or 34.
        flatten: inputs ``[T, B, 2 * H * W]`` instead of ``[T, B, 2, H, W]``.
        jitter: moves, turns and shears each training recording at random, anew in each epoch, as `mnist` does its images; by
            up to this many pixels after `downsample`.
        validation: how many training recordings are held out for validation, drawn class by class; None a tenth.
        split_seed: decides which.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    if jitter < 0:
        raise DataError(f"jitter is {jitter}, expected 0 or more pixels.")
    augment = Jitter(jitter) if jitter else None
    binning = Binning(_SENSOR, frames, bin_by, duration, downsample, flatten)
    place = locate("N-MNIST", ("nmnist", "NMNIST", "nmnist_small"), path, _EXPECTED)
    archive = place / _ARCHIVE if place.is_dir() else place
    if archive.is_file():
        return _from_archive(archive, binning, augment, validation, split_seed)
    files, classes = _files(place, "Train")
    test_files, test_classes = _files(place, "Test")
    held, rest = _hold_out(classes, validation, split_seed)
    return Dataset(
        name="N-MNIST",
        classes=10,
        train=binning.split(_read(files, rest), classes[rest], augment),
        validation=binning.split(_read(files, held), classes[held]),
        test=binning.split(_read(test_files, np.arange(len(test_files))), test_classes),
        source=binning.source,
    )


def _from_archive(path: Path, binning: Binning, augment: Jitter | None, validation: int | None, seed: int) -> Dataset:
    archive = read_event_archive(path, _SENSOR, ("is_test",), _EXPECTED)
    classes, is_test = archive.arrays["label"], archive.arrays["is_test"]
    trained = np.flatnonzero(~is_test)
    trained = trained[: len(trained) * 4 // 5]
    tested = np.setdiff1d(np.arange(len(archive)), trained)
    held, rest = (trained[indices] for indices in _hold_out(classes[trained], validation, seed))
    train = binning.split(archive.recordings(rest), classes[rest], augment)
    validated, test = (binning.split(archive.recordings(part), classes[part]) for part in (held, tested))
    name = f"N-MNIST ({len(trained):,} + {len(tested):,} recordings)"
    return Dataset(name=name, classes=10, train=train, validation=validated, test=test, source=binning.source)


def _hold_out(classes: np.ndarray, count: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    held, rest = hold_out(torch.from_numpy(classes.astype(np.int64)), count, seed, "recordings")
    return held.numpy(), rest.numpy()


def _files(folder: Path, part: str) -> tuple[list[Path], np.ndarray]:
    files = [sorted((folder / part / str(digit)).glob("*.bin")) for digit in range(10)]
    empty = next((digit for digit, found in enumerate(files) if not found), None)
    if empty is not None:
        raise DataError(f"N-MNIST: {folder / part / str(empty)} holds no .bin file. Put them there. {_EXPECTED}")
    return [file for found in files for file in found], np.repeat(np.arange(10), [len(found) for found in files])


def _read(files: list[Path], indices: np.ndarray) -> Iterator[Events]:
    for index in indices:
        yield read_atis(files[index], _SENSOR)


def read_atis(path: Path, sensor: tuple[int, int]) -> Events:
    """Events of 40 bits, as those of N-MNIST and N-Caltech101: x, y, then polarity (1 bit) and microseconds (23 bits).

    An event in row 240 is none: it says that 8,192 microseconds have passed since the clock overflowed.

    Raises:
        DataError: the file is truncated, or an event lies beyond `sensor` (height, width).
    """
    content = path.read_bytes()
    if not content or len(content) % 5:
        raise DataError(f"{path} has {len(content)} bytes, which is no multiple of 5: it is truncated. Fetch it again.")
    x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, 5).T
    t = ((high & 0x7F).astype(np.int64) << 16) | (middle.astype(np.int64) << 8) | low
    overflows = y == _OVERFLOW_ROW
    t = (t + np.cumsum(overflows) * _OVERFLOW_MICROSECONDS)[~overflows]
    x, y, p = (values[~overflows] for values in (x, y, high >> 7))
    check_on_sensor(path, x, y, p, sensor)
    if (np.diff(t) < 0).any():
        raise DataError(f"{path}: time goes back after event {int((np.diff(t) < 0).argmax())}. Fetch it again.")
    return Events(t, x, y, p)
