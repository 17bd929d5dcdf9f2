"""DVS128 Gesture: hand and arm movements before an event camera."""

import struct
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from spikescan.data.camera import Binning, Events, check_on_sensor, read_event_archive
from spikescan.data.dataset import Dataset, Split
from spikescan.data.files import find_file, locate, read_bytes, read_text
from spikescan.errors import DataError

__all__ = ["dvs_gesture", "dvs_gesture_demo", "read_aedat"]

_SENSOR = (128, 128)
_EXPECTED = (
    "The folder holds the official trials_to_train.txt and trials_to_test.txt, and for each recording that they list, "
    "such as user01_fluorescent.aedat, this file and user01_fluorescent_labels.csv."
)
_DEMO = "dvs128_gesture_demo.npz"
_DEMO_EXPECTED = f"The folder holds {_DEMO}."
_POLARITY_EVENTS = 1
_GESTURES = (
    "hand clap", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise",
    "left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other",
)  # fmt: skip


def dvs_gesture(
    *,
    path: str | None = None,
    frames: int = 16,
    bin_by: Literal["time", "count"] = "time",
    duration: int | None = None,
    downsample: int = 1,
    flatten: bool = False,
    validation_users: int = 3,
) -> Dataset:
    """DVS128 Gesture, 11 gestures of 29 people before an event camera of 128 x 128 pixels (Amir et al., CVPR 2017).

    A sample is one gesture, cut from a recording by the official times. People in the test are not in training; those in
    validation are not either.

    Args:
        path: the folder ``DvsGesture``; None reads the environment variable ``SPIKESCAN_DATA``, in which a folder
            ``DvsGesture`` or ``dvs_gesture`` is looked into first.
        frames: T, into how many bins a gesture is cut.
        bin_by: ``"time"``, bins of equal duration; or ``"count"``, bins of equal numbers of events.
        duration: microseconds that are cut, from the gesture's first event on; None takes it whole. By time only.
        downsample: sums squares of this many by this many pixels; a divisor of 128.
        flatten: inputs ``[T, B, 2 * H * W]`` instead of ``[T, B, 2, H, W]``.
        validation_users: how many people, the last by name of those in training, are held out for validation.

    Raises:
        DataError: a file is missing or damaged; the message names it and says where to put it.
    """
    binning = Binning(_SENSOR, frames, bin_by, duration, downsample, flatten)
    place = locate("DVS128 Gesture", ("DvsGesture", "dvs_gesture"), path, _EXPECTED)
    trials = _trials(place, "trials_to_train.txt")
    people = sorted({_user(trial) for trial in trials})
    if not 0 < validation_users < len(people):
        raise DataError(f"validation_users={validation_users} cannot be held out of {len(people)} people.")
    held = people[-validation_users:]
    return Dataset(
        name="DVS128 Gesture",
        classes=11,
        train=_split(place, [trial for trial in trials if _user(trial) not in held], binning),
        validation=_split(place, [trial for trial in trials if _user(trial) in held], binning),
        test=_split(place, _trials(place, "trials_to_test.txt"), binning),
        source=binning.source,
        class_names=_GESTURES,
    )


def dvs_gesture_demo(
    *,
    path: str | None = None,
    window: int = 100_000,
    frames: int = 10,
    bin_by: Literal["time", "count"] = "time",
    downsample: int = 4,
    flatten: bool = False,
) -> Dataset:
    """Ten recordings of DVS128 Gesture, one a class, cut into windows: shows that a program runs, and nothing else.

    Of each recording the first 60 % of the windows are for training, the next 20 % for validation, the last for test:
    one person's one movement, so that a high accuracy says nothing about gestures.

    Args:
        path: the file ``dvs128_gesture_demo.npz`` or its folder; None reads the environment variable
            ``SPIKESCAN_DATA``, in which a folder ``dvs128_gesture_demo`` is looked into first.
        window: microseconds of a sample.
        frames: T, into how many bins a window is cut.
        bin_by: ``"time"``, bins of equal duration; or ``"count"``, bins of equal numbers of events.
        downsample: sums squares of this many by this many pixels; a divisor of 128.
        flatten: inputs ``[T, B, 2 * H * W]`` instead of ``[T, B, 2, H, W]``.

    Raises:
        DataError: the file is missing or damaged, or a window is so long that a split gets none.
    """
    binning = Binning(_SENSOR, frames, bin_by, None, downsample, flatten)
    place = locate("The demo of DVS128 Gesture", ("dvs128_gesture_demo",), path, _DEMO_EXPECTED)
    file = find_file("The demo of DVS128 Gesture", place, [_DEMO], _DEMO_EXPECTED)
    archive = read_event_archive(file, _SENSOR, (), _DEMO_EXPECTED)
    samples: list[list[tuple[Events, int]]] = [[], [], []]
    for label, events in zip(archive.arrays["label"], archive.recordings(range(len(archive))), strict=True):
        starts = range(0, int(events.t[-1]) + 1 - window, window) if window > 0 and len(events) else range(0)
        for index, start in enumerate(starts):
            part = (5 * index >= 3 * len(starts)) + (5 * index >= 4 * len(starts))
            samples[part].append((events.between(start, start + window), int(label)))
    if not all(samples):
        raise DataError(
            f"window is {window} microseconds: a recording of 1.45 s must hold at least 5, for three splits."
        )
    train, validation, test = (
        binning.split((events for events, _ in part), np.array([label for _, label in part])) for part in samples
    )
    return Dataset(
        name="DVS128 Gesture (demo)",
        classes=10,
        train=train,
        validation=validation,
        test=test,
        source=binning.source,
        class_names=_GESTURES[:10],
    )


def _trials(folder: Path, name: str) -> list[str]:
    text = read_text(find_file("DVS128 Gesture", folder, [name], _EXPECTED))
    return [line.strip() for line in text.splitlines() if line.strip()]


def _user(trial: str) -> str:
    return trial.partition("_")[0]


def _split(folder: Path, trials: list[str], binning: Binning) -> Split:
    recordings = {}
    gestures = []
    for trial in trials:
        name = trial.removesuffix(".aedat")
        recordings[trial] = find_file("DVS128 Gesture", folder, [f"{name}.aedat"], _EXPECTED)
        labels = find_file("DVS128 Gesture", folder, [f"{name}_labels.csv"], _EXPECTED)
        gestures += [(trial, *row) for row in _labels(labels)]

    def cut() -> Iterator[Events]:
        # A recording is read once, and one is held at a time.
        for trial, rows in groupby(gestures, key=lambda gesture: gesture[0]):
            events = read_aedat(recordings[trial], _SENSOR)
            for _, _, start, end in rows:
                yield events.between(start, end)

    return binning.split(cut(), np.array([gesture for _, gesture, _, _ in gestures]) - 1)


def _labels(path: Path) -> list[tuple[int, int, int]]:
    """Class 1 to 11, first and last microsecond, of each gesture of a recording."""
    rows = []
    for line in read_text(path).split()[1:]:
        try:
            gesture, start, end = map(int, line.split(","))
        except ValueError:
            raise DataError(f"{path}: {line!r} is not class,startTime_usec,endTime_usec. Fetch it again.") from None
        if not 1 <= gesture <= 11 or end <= start:
            raise DataError(f"{path}: {line!r} is not a class 1 to 11 with a start before its end. Fetch it again.")
        rows.append((gesture, start, end))
    if not rows:
        raise DataError(f"{path} lists no gesture. Fetch it again.")
    return rows


def read_aedat(path: Path, sensor: tuple[int, int]) -> Events:
    """The valid polarity events of an AEDAT 3.1 file, in the order of time.

    Raises:
        DataError: the file is truncated or no AEDAT 3.1, or an event lies beyond `sensor` (height, width).
    """
    content = read_bytes(path)
    if not content.startswith(b"#!AER-DAT3.1"):
        raise DataError(f"{path} starts with {content[:12]!r}, but an AEDAT 3.1 file starts with b'#!AER-DAT3.1'.")
    position = 0
    while content[position : position + 1] == b"#":
        position = content.find(b"\n", position) + 1 or len(content)
    words, times = [np.empty(0, "<u4")], [np.empty(0, np.int64)]
    while position < len(content):
        if position + 28 > len(content):
            raise DataError(f"{path} is truncated: it ends within the header of a packet. Fetch it again.")
        kind, _, size, _, overflows, capacity, number, _ = struct.unpack_from("<HHIIIIII", content, position)
        position += 28
        if position + size * number > len(content) or number > capacity:
            raise DataError(f"{path} is truncated: a packet announces {number} events of {size} bytes. Fetch it again.")
        if kind == _POLARITY_EVENTS:
            packet = np.frombuffer(content, "<u4", 2 * number, position).reshape(-1, 2)
            words.append(packet[:, 0])
            times.append(packet[:, 1].astype(np.int64) + (overflows << 31))
        position += size * number
    word, t = np.concatenate(words), np.concatenate(times)
    valid = (word & 1).astype(bool)
    word, t = word[valid], t[valid]
    order = np.argsort(t, kind="stable")
    word, t = word[order], t[order]
    x, y, p = (word >> 17) & 0x7FFF, (word >> 2) & 0x7FFF, (word >> 1) & 1
    check_on_sensor(path, x, y, p, sensor)
    return Events(t, x, y, p)
