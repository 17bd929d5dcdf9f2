"""Events of an event camera as frames."""

from typing import Literal

import numpy as np

from spikescan.errors import DataError

__all__ = ["check_events", "count_events", "frames_of_events"]

_MOST_FRAMES = 2**31
"""What no memory holds, and no whole number overflows."""


def frames_of_events(
    x: np.ndarray,
    y: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    *,
    height: int,
    width: int,
    frames: int | None = 16,
    window: float | None = None,
    bin_by: Literal["time", "count"] = "time",
) -> np.ndarray:
    """How many events of each polarity fell on each pixel in each frame: float32 ``[T, 2, height, width]``.

    Args:
        x: column of each event, 0 to width - 1.
        y: row of each event, 0 to height - 1.
        t: time of each event, ascending.
        p: polarity: positive is channel 1, the rest channel 0.
        height: of the sensor.
        width: of the sensor.
        frames: T; the recording is cut into so many frames of equal time or of equally many events. Left out for `window`.
        window: a frame's length in the unit of t, or in events, instead: T is then what the recording needs.
        bin_by: time or count.
    """
    place = t.astype(np.float64) - t[0] if bin_by == "time" else np.arange(len(t), dtype=np.float64)
    if window is None:
        assert frames is not None
        # The last event falls into the last frame, not at its end.
        span = place[-1] if bin_by == "time" else float(len(t))
        steps, index = frames, np.minimum((place * frames / max(span, 1e-300)).astype(np.int64), frames - 1)
    else:
        if not place[-1] / window < _MOST_FRAMES:
            raise DataError(
                f"window is {window}, but a recording lasts {place[-1]:g}: too many frames. Take a longer window."
            )
        index = (place / window).astype(np.int64)
        steps = int(index[-1]) + 1
    return count_events(index, x, y, p, (steps, 2, height, width)).astype(np.float32)


def count_events(
    frame: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray, shape: tuple[int, int, int, int]
) -> np.ndarray:
    """How many events fell on each cell: int64 ``[T, 2, height, width]``.

    Args:
        frame: the step of each event, 0 to T - 1.
        x: column of each event.
        y: row of each event.
        p: polarity: positive is channel 1, the rest channel 0.
        shape: T, 2, height and width.
    """
    cell = np.ravel_multi_index((frame, (p > 0).astype(np.int64), y.astype(np.int64), x.astype(np.int64)), shape)
    counts: np.ndarray = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)
    return counts


def check_events(where: str, x: np.ndarray, y: np.ndarray, t: np.ndarray, p: np.ndarray) -> None:
    """Raise `DataError` unless these are events: as many of each, finite numbers all, whole places of at least 0."""
    columns = {"x": x, "y": y, "t": t, "p": p}
    sizes = {name: array.shape for name, array in columns.items()}
    if len(set(sizes.values())) > 1 or x.ndim != 1:
        raise DataError(f"{where}: x, y, t and p are {sizes}, expected one number an event in each: [events].")
    for name, array in columns.items():
        if array.dtype.kind not in "fiub":
            advice = f" Save {name}.astype('int64')." if array.dtype.kind in "mM" else ""
            raise DataError(f"{where}: {name} of the events is {array.dtype}, expected numbers.{advice}")
        bad = ~np.isfinite(array)
        if bad.any():
            raise DataError(f"{where}: {name} of event {int(bad.argmax())} is {array[bad][0]}. Drop the event.")
    for name, array in {"x": x, "y": y}.items():
        if len(array) and (array.min() < 0 or (array != np.floor(array)).any()):
            raise DataError(f"{where}: {name} of the events must be whole pixels from 0, it starts at {array.min()}.")
    signs = np.unique(p)
    if (signs > 0).sum() > 1 or (signs <= 0).sum() > 1:
        raise DataError(
            f"{where}: p of the events is one of {signs[:5].tolist()}, expected 0 and 1, or -1 and 1. "
            f"Save p == {signs[-1]}."
        )
