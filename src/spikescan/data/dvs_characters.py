"""Letters and digits before an event camera."""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from spikescan.data.camera import Binning, Events, check_on_sensor, read_event_archive
from spikescan.data.dataset import Dataset
from spikescan.data.files import find_file, has_file, locate, read_bytes, read_mat
from spikescan.errors import DataError

__all__ = ["dvs_characters"]

_SENSOR = (32, 32)
_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ARCHIVE = "dvs_characters.npz"
_RECORDINGS, _LABELS = "alphabet_ExtractedStabilized.mat", "alphabet_label.pkl"
_EXPECTED = f"The folder holds {_RECORDINGS} and {_LABELS}, or {_ARCHIVE}."


def dvs_characters(
    *,
    path: str | None = None,
    frames: int = 10,
    bin_by: Literal["time", "count"] = "time",
    duration: int | None = None,
    downsample: int = 1,
    flatten: bool = False,
) -> Dataset:
    """Letters and digits before an event camera, 76 recordings of 0.1 s, 32 x 32 pixels (Orchard et al., 2015).

    Each of the 36 characters once to train and once to test; the four that were recorded a third time (X, F, Y, G) are
    the validation. Few and easy: to see that a program is right, not to rank methods.

    Args:
        path: the folder of the files, or ``dvs_characters.npz``; None reads the environment variable
            ``SPIKESCAN_DATA``, in which a folder ``dvs_characters`` is looked into first.
        frames: T, into how many bins a recording is cut.
        bin_by: ``"time"``, bins of equal duration; or ``"count"``, bins of equal numbers of events.
        duration: microseconds that are cut; None takes each recording whole. By time only.
        downsample: sums squares of this many by this many pixels; a divisor of 32.
        flatten: inputs ``[T, B, 2 * H * W]`` instead of ``[T, B, 2, H, W]``.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    binning = Binning(_SENSOR, frames, bin_by, duration, downsample, flatten)
    place = locate("DVS characters", ("dvs_characters",), path, _EXPECTED)
    if place.is_dir() and has_file(place, _RECORDINGS):
        recordings, classes = _read_mat(place)
    else:
        archive = read_event_archive(find_file("DVS characters", place, [_ARCHIVE], _EXPECTED), _SENSOR, (), _EXPECTED)
        recordings, classes = list(archive.recordings(range(len(archive)))), archive.arrays["label"].astype(np.int64)
    # How often the character of a recording came before: 0, 1 or 2 times.
    before = np.array([(classes[:index] == label).sum() for index, label in enumerate(classes)])
    parts = [np.flatnonzero(before == time) for time in (0, 1, 2)]
    if [len(part) for part in parts] != [36, 36, 4]:
        raise DataError(f"{place}: expected 36 characters recorded twice, and 4 of them a third time. {_EXPECTED}")
    train, test, validation = (binning.split((recordings[index] for index in part), classes[part]) for part in parts)
    return Dataset(
        name="DVS characters",
        classes=36,
        train=train,
        validation=validation,
        test=test,
        source=binning.source,
        class_names=tuple(_CHARACTERS),
    )


def _read_mat(folder: Path) -> tuple[list[Events], np.ndarray]:
    file = find_file("DVS characters", folder, [_RECORDINGS], _EXPECTED)
    labels = find_file("DVS characters", folder, [_LABELS], _EXPECTED)
    cells = read_mat(file, ["ROI"])["ROI"].ravel()
    try:
        recordings = list(_recordings(file, cells))
        # A list of pairs, the character and how many events it has.
        characters = [character for character, _ in _NothingUnpickler(io.BytesIO(read_bytes(labels))).load()]
        classes = np.array([_CHARACTERS.index(character) for character in characters])
    except (ValueError, TypeError, IndexError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{file} or {labels} is damaged ({error}). Fetch them again.") from error
    if len(recordings) != len(classes):
        raise DataError(f"{file} holds {len(recordings)} recordings, but {labels} has {len(classes)}.")
    return recordings, classes


def _recordings(path: Path, cells: np.ndarray) -> Iterator[Events]:
    for cell in cells:
        x, y, p, t = (np.asarray(cell[0, 0][key]).ravel() for key in ("x", "y", "p", "ts"))
        order = np.argsort(t, kind="stable")
        # Pixels are counted from 1, and darker is -1.
        events = Events(t[order].astype(np.int64), x[order] - 1, y[order] - 1, (p[order] > 0).astype(np.uint8))
        check_on_sensor(path, events.x, events.y, events.p, _SENSOR)
        yield events


class _NothingUnpickler(pickle.Unpickler):
    """Reads lists, texts and numbers, and refuses all that could run code."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
