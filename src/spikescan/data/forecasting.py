"""Series of several variables: predict what comes next."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from spikescan.data.dataset import Dataset, Split
from spikescan.data.files import check_sha256, find_file, locate, read_bytes
from spikescan.data.sources import Series
from spikescan.errors import DataError

__all__ = ["ett", "exchange_rate"]

_ETT_COLUMNS = ["date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
_CURRENCIES = ("Australia", "Britain", "Canada", "Switzerland", "China", "Japan", "New Zealand", "Singapore")
"""In the order of Lai et al.; the file does not name its columns."""
_ETT_SHA256 = {
    "ETTh1": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    "ETTh2": "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
}
_ETT_EXPECTED = "The folder holds ETTh1.csv, ETTh2.csv, ETTm1.csv or ETTm2.csv, whichever is asked for."
_EXCHANGE_EXPECTED = "The folder holds exchange_rate.txt, or exchange_rate.txt.gz as it is published."


def ett(
    *,
    path: str | None = None,
    series: Literal["ETTh1", "ETTh2", "ETTm1", "ETTm2"] = "ETTh1",
    window: int = 336,
    horizon: int = 96,
    frame: int | None = None,
    stride: int = 1,
    checksum: bool = True,
) -> Dataset:
    """Electricity transformer temperature, 7 variables: from a window of the past to all that comes (Zhou et al., 2021).

    The split of the literature: 12 months to train, 4 to validate, 4 to test, of 30 days each; scaled by mean and
    standard deviation of the training part. The windows of the first targets to validate and to test reach back into the
    part before. Targets are ``[N, horizon * 7]``, step by step, the 7 variables of a step together.

    Args:
        path: the folder of the ``.csv``, or the file; None reads the environment variable ``SPIKESCAN_DATA``, in which a
            folder ``ETT-small`` or ``ett`` is looked into first.
        series: hourly (h) or every 15 minutes (m), of one of two stations.
        window: T, steps of the past.
        horizon: steps to be predicted; the literature has 96, 192, 336 and 720.
        frame: steps of the series that make one time step, a divisor of `window`: inputs are then
            ``[T, B, frame, 7]``, T = window / frame, with the variables as places; None is ``[T, B, 7]``, T = window.
        stride: takes each stride-th window for training only; windows next to each other are almost the same.
        checksum: refuses a file of ETTh1 or ETTh2 that is not the published one, byte for byte.

    Raises:
        DataError: the file is missing or damaged, or too short for window and horizon.
    """
    if series not in ("ETTh1", "ETTh2", "ETTm1", "ETTm2"):
        raise DataError(f"series is {series!r}, expected ETTh1, ETTh2, ETTm1 or ETTm2.")
    place = locate("ETT", ("ETT-small", "ett"), path, _ETT_EXPECTED)
    file = find_file("ETT", place, [f"{series}.csv"], _ETT_EXPECTED)
    content = read_bytes(file)
    if checksum and series in _ETT_SHA256:
        check_sha256(file, content, _ETT_SHA256[series])
    header, *rows = content.decode(errors="replace").splitlines()
    if header.split(",") != _ETT_COLUMNS:
        raise DataError(f"{file} starts with {header[:60]!r}, expected {','.join(_ETT_COLUMNS)}.")
    values = _numbers(file, [row.partition(",")[2] for row in rows], columns=7)
    month = 30 * 24 * (4 if series.startswith("ETTm") else 1)
    ends = [12 * month, 16 * month, 20 * month]
    return _windows(file, values, ends, series, window, horizon, tuple(_ETT_COLUMNS[1:]), frame, stride)


def exchange_rate(*, path: str | None = None, window: int = 336, horizon: int = 96) -> Dataset:
    """Daily exchange rates of eight currencies, 1990 to 2016: from a window of the past to all that comes (Lai et al., 2018).

    The first 70 % to train, the next 10 % to validate, the last 20 % to test; scaled and cut as `ett`. Repeating the last
    value is hard to beat here.

    Args:
        path: the folder of ``exchange_rate.txt``, ``.gz`` or not, or the file; None reads the environment variable
            ``SPIKESCAN_DATA``, in which a folder ``exchange_rate`` is looked into first.
        window: T, steps of the past.
        horizon: steps to be predicted; the literature has 96, 192, 336 and 720.

    Raises:
        DataError: the file is missing or damaged, or too short for window and horizon.
    """
    place = locate("Exchange rate", ("exchange_rate",), path, _EXCHANGE_EXPECTED)
    file = find_file("Exchange rate", place, ["exchange_rate.txt"], _EXCHANGE_EXPECTED)
    values = _numbers(file, read_bytes(file).decode(errors="replace").splitlines(), columns=8)
    rows = len(values)
    test = int(rows * 0.2)
    ends = [int(rows * 0.7), rows - test, rows]
    return _windows(file, values, ends, "Exchange rate", window, horizon, _CURRENCIES)


def _numbers(path: Path, lines: list[str], columns: int) -> np.ndarray:
    """Numbers with commas between them, as float64 ``[rows, columns]``."""
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append([float(value) for value in line.split(",")])
        except ValueError:
            raise DataError(f"{path}: row {number} of the data is {line[:60]!r}, expected numbers.") from None
        if len(rows[-1]) != columns:
            raise DataError(f"{path}: row {number} of the data has {len(rows[-1])} numbers, expected {columns}.")
    return np.array(rows).reshape(-1, columns)


def _windows(
    path: Path,
    values: np.ndarray,
    ends: list[int],
    name: str,
    window: int,
    horizon: int,
    columns: tuple[str, ...],
    frame: int | None = None,
    stride: int = 1,
) -> Dataset:
    """All pairs of a window and what follows it, whose targets lie within one part; `ends` are the parts' ends."""
    if window < 1 or horizon < 1 or stride < 1:
        raise DataError(f"window is {window}, horizon {horizon} and stride {stride}, expected at least 1 step each.")
    if frame is not None and (frame < 1 or window % frame):
        raise DataError(f"frame is {frame}, expected a divisor of window={window}.")
    if len(values) < ends[-1]:
        raise DataError(
            f"{path} has {len(values)} rows, but the split needs {ends[-1]}: it is truncated. Fetch it again."
        )
    train, validation, test = ends[0], ends[1] - ends[0], ends[2] - ends[1]
    if train < window + horizon or min(validation, test) < horizon:
        raise DataError(
            f"window={window} and horizon={horizon} do not fit: {path} has {train} rows to train, {validation} to "
            f"validate and {test} to test."
        )
    known = values[:train]
    scaled = torch.from_numpy(((values - known.mean(0)) / known.std(0)).astype(np.float32))
    starts = [0, ends[0] - window, ends[1] - window]
    parts = [_split(scaled[start:end], window, horizon, frame) for start, end in zip(starts, ends, strict=True)]
    return Dataset(
        name=f"{name} ({window} to {horizon})",
        classes=None,
        values=horizon * values.shape[1],
        train=replace(parts[0], inputs=parts[0].inputs[::stride], targets=parts[0].targets[::stride]),
        validation=parts[1],
        test=parts[2],
        source=Series(columns, horizon),
    )


def _split(series: torch.Tensor, window: int, horizon: int, frame: int | None) -> Split:
    """All windows of a series ``[rows, C]`` with their targets, as views: nothing is copied before a batch is cut."""
    columns = series.shape[1]
    flat = series.reshape(-1)
    past = flat[: -horizon * columns].unfold(0, window * columns, columns)
    future = flat[window * columns :].unfold(0, horizon * columns, columns)
    sizes = [window, columns] if frame is None else [window // frame, frame, columns]
    return Split(past.view(-1, *sizes), future)
