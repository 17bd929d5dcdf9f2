"""Events of a camera, and how they become time steps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spikescan.data.dataset import Batch, Split
from spikescan.data.events import count_events
from spikescan.data.files import read_npz
from spikescan.data.sources import Sensor
from spikescan.data.splits import AsFloat
from spikescan.errors import DataError

__all__ = ["Binning", "EventArchive", "Events", "check_on_sensor", "read_event_archive"]


@dataclass(frozen=True)
class Events:
    """One recording, or a part of one; all arrays ``[n]``, in the order of time.

    Args:
        t: int64, in microseconds.
        x: column of the pixel.
        y: row of the pixel.
        p: polarity, 1 where it got brighter and 0 where it got darker.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    def between(self, start: int, end: int) -> "Events":
        """Those with start <= t < end, in microseconds."""
        first, last = np.searchsorted(self.t, (start, end))
        return Events(self.t[first:last], self.x[first:last], self.y[first:last], self.p[first:last])


@dataclass(frozen=True)
class Binning:
    """Counts events: a recording becomes ``[frames, 2, height, width]``, darker first, then brighter.

    Args:
        sensor: height and width of the camera, in pixels.
        frames: T, into how many bins a recording is cut.
        bin_by: ``"time"``, bins of equal duration; or ``"count"``, bins of equal numbers of events.
        duration: microseconds that are cut, from the first event on; what comes later is left out. None takes the
            whole recording, however long. By time only.
        downsample: sums squares of this many by this many pixels; it divides height and width.
        flatten: one axis of channels, ``[frames, 2 * height * width]``, instead of three.
    """

    sensor: tuple[int, int]
    frames: int
    bin_by: Literal["time", "count"] = "time"
    duration: int | None = None
    downsample: int = 1
    flatten: bool = False

    def __post_init__(self) -> None:
        height, width = self.sensor
        if self.frames < 1:
            raise DataError(f"frames is {self.frames}, expected at least 1.")
        if self.bin_by not in ("time", "count"):
            raise DataError(f"bin_by is {self.bin_by!r}, expected 'time' or 'count'.")
        if self.duration is not None and (self.duration < 1 or self.bin_by == "count"):
            raise DataError(f"duration is {self.duration}, expected microseconds, and bin_by='time'.")
        if self.downsample < 1 or height % self.downsample or width % self.downsample:
            raise DataError(f"downsample is {self.downsample}, expected a divisor of {height} and {width}.")

    @property
    def source(self) -> Sensor:
        """What a sample is made from, for those who look at it."""
        return Sensor(*self.shape[2:])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of a recording, before it is flattened."""
        height, width = (side // self.downsample for side in self.sensor)
        return self.frames, 2, height, width

    def __call__(self, events: Events) -> np.ndarray:
        """Counts as int16 ``[frames, 2, height, width]``, or flattened; more than 32,767 events count as so many."""
        shape = self.shape
        frame = self._bins(events)
        kept = frame < self.frames
        x, y = (axis[kept] // self.downsample for axis in (events.x, events.y))
        every = count_events(frame[kept], x, y, events.p[kept], shape)
        counts: np.ndarray = np.minimum(every, np.iinfo(np.int16).max).astype(np.int16)
        return counts.reshape(self.frames, -1) if self.flatten else counts

    def _bins(self, events: Events) -> np.ndarray:
        """The bin of each event, `frames` or more where it is left out."""
        if self.bin_by == "count" or len(events) == 0:
            return np.arange(len(events)) * self.frames // max(len(events), 1)
        since = events.t - events.t[0]
        duration = since[-1] + 1 if self.duration is None else self.duration
        bins: np.ndarray = since * self.frames // duration
        return bins

    def split(
        self, recordings: Iterable[Events], classes: np.ndarray, augment: Callable[[Tensor], Tensor] | None = None
    ) -> Split:
        """Recordings and their classes as a part of a dataset; the inputs of its batches are float32 counts.

        `augment` changes the frames ``[n, frames * 2, height, width]`` of training recordings at random.
        """
        _, *rest = self.shape
        channels = [int(np.prod(rest))] if self.flatten else rest
        counts = np.empty((len(classes), self.frames, *channels), np.int16)
        for index, (events, _) in enumerate(zip(recordings, classes, strict=True)):
            counts[index] = self(events)
        targets = torch.from_numpy(np.array(classes, np.int64))
        changed = None if augment is None else _Frames(self.shape, augment)
        return Split(torch.from_numpy(counts), targets, augment=changed, encode=AsFloat())


@dataclass(frozen=True)
class _Frames:
    """A change to images, made to all frames of a recording alike."""

    shape: tuple[int, int, int, int]
    change: Callable[[Tensor], Tensor]

    def __call__(self, batch: Batch) -> Batch:
        frames, signs, height, width = self.shape
        frames_first = batch.inputs.transpose(0, 1)
        images = self.change(frames_first.reshape(-1, frames * signs, height, width))
        return replace(batch, inputs=images.reshape(frames_first.shape).transpose(0, 1).contiguous())


@dataclass(frozen=True)
class EventArchive:
    """Recordings, one after the other.

    Args:
        path: of the file.
        arrays: x, y, p and dt (microseconds since the event before, absolute for the first of a recording), offsets
            ``[N + 1]`` (where each recording begins), label ``[N]``, and more.
        sensor: height and width in pixels.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    sensor: tuple[int, int]

    def __len__(self) -> int:
        return len(self.arrays["label"])

    def recordings(self, indices: Iterable[int]) -> Iterator[Events]:
        """Those at `indices`."""
        arrays = self.arrays
        for index in indices:
            cut = slice(arrays["offsets"][index], arrays["offsets"][index + 1])
            yield Events(
                np.cumsum(arrays["dt"][cut], dtype=np.int64), arrays["x"][cut], arrays["y"][cut], arrays["p"][cut]
            )


def read_event_archive(path: Path, sensor: tuple[int, int], keys: Iterable[str], expected: str) -> EventArchive:
    """Recordings from an ``.npz`` of x, y, p, dt, offsets, label and `keys`, see `EventArchive`.

    Raises:
        DataError: the file is damaged, or an array does not fit the others or the sensor.
    """
    arrays = read_npz(path, ("x", "y", "p", "dt", "offsets", "label", *keys), expected)
    events, offsets = len(arrays["dt"]), arrays["offsets"]
    fits = (
        all(len(arrays[key]) == events for key in "xyp")
        and len(offsets) == len(arrays["label"]) + 1
        and offsets[0] == 0
        and offsets[-1] == events
        and (np.diff(offsets) >= 0).all()
    )
    if not fits:
        raise DataError(f"{path}: x, y, p, dt ({events} events), offsets and label do not fit each other. {expected}")
    check_on_sensor(path, arrays["x"], arrays["y"], arrays["p"], sensor)
    return EventArchive(path, arrays, sensor)


def check_on_sensor(path: Path, x: np.ndarray, y: np.ndarray, p: np.ndarray, sensor: tuple[int, int]) -> None:
    """Raise `DataError` unless all events lie on the sensor (height, width) and are of polarity 0 or 1."""
    for name, values, size in (("x", x, sensor[1]), ("y", y, sensor[0]), ("polarity", p, 2)):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < size:
            raise DataError(
                f"{path}: {name} runs from {values.min()} to {values.max()}, expected 0 to {size - 1}. It is damaged, or "
                f"of another camera."
            )
