"""A user's own sequences: arrays, tables or events, of one length or of many."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spikescan.data.dataset import NOT_SCORED, Dataset, Scaling, Split
from spikescan.data.events import check_events, frames_of_events
from spikescan.data.sources import Sensor, Series, Source
from spikescan.data.tables import SPLITS, Arrays, is_real, read_arrays
from spikescan.errors import DataError

__all__ = ["sequence"]

_MOST_CLASSES = 2**18
"""More than any vocabulary has: a network has an output for each number up to the largest, and larger ones are IDs."""


@dataclass(frozen=True)
class _Recordings:
    """What a file holds: inputs, targets and split of each recording."""

    where: str
    inputs: list[np.ndarray]
    """``[T, C, *]`` each."""
    targets: np.ndarray | list[np.ndarray]
    """One a recording: ``[N]`` or ``[N, K]``; or a list of ``[T]`` or ``[T, K]``, one a step."""
    split: np.ndarray | None
    source: Source | None


def sequence(
    *,
    path: str | None = None,
    targets: Literal["classes", "values"] | None = None,
    normalise: bool = False,
    validation: float = 0.15,
    test: float = 0.15,
    split_seed: int = 0,
    frames: int = 16,
    window: float | None = None,
    bin_by: Literal["time", "count"] = "time",
    flatten: bool = True,
) -> Dataset:
    """Sequences from files of your own: .npz, a folder of .npz, .csv or .parquet; docs/your_data.md says what is in them.

    Args:
        path: the file or folder.
        targets: classes or values (real numbers); null takes whole numbers and text for classes, others for values.
        normalise: bring each channel to mean 0 and deviation 1, measured on the training split; streams of a trained run are
            brought there too.
        validation: the share of samples held out for validation, where the file has no split of its own.
        test: the share of samples held out for the test, likewise.
        split_seed: decides which.
        frames: of events: time steps of a recording.
        window: of events: instead of `frames`, a frame's length in the unit of t, or in events.
        bin_by: of events: frames of equal time, or of equally many events (count).
        flatten: of inputs with more axes than channels: all of them become channels, ``[N, T, C * ...]``.

    Raises:
        DataError: a file is missing, or something in it is not what it should be; the message says what and how to mend it.
    """
    if path is None:
        raise DataError("The data sequence needs your file: --data.path FILE.npz (or .csv, or a folder).")
    if (window is not None and not 0 < window < math.inf) or frames < 1:
        raise DataError(f"frames is {frames} and window is {window}, expected at least 1 frame and a window above 0.")
    place = Path(path).expanduser()
    binning = _Binning(frames, window, bin_by)
    parts = [_recordings(where, arrays, binning, targets) for where, arrays in read_arrays(place, targets)]
    inputs = [_float32(part.where, "an input", x) for part in parts for x in part.inputs]
    inputs = [x.reshape(len(x), -1) for x in inputs] if flatten else inputs
    _check_inputs(str(place), inputs)
    _check_changes(str(place), [x for part in parts for x in part.inputs], inputs)
    split = _split(str(place), parts, validation, test, split_seed)
    y, classes, names = _targets(str(place), parts, [len(x) for x in inputs], targets)
    scaling = _scaling([x for x, part in zip(inputs, split, strict=True) if part == 0]) if normalise else None
    samples = [torch.from_numpy(x) if scaling is None else scaling(torch.from_numpy(x)) for x in inputs]
    x = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)
    lengths = torch.tensor([len(sample) for sample in samples])
    varied = int(lengths.min()) < x.shape[1]
    train, held, tested = (
        Split(x[part], y[part], lengths[part] if varied else None)
        for part in (torch.from_numpy(split == index) for index in range(3))
    )
    return Dataset(
        name=place.stem,
        classes=classes,
        train=train,
        validation=held,
        test=tested,
        values=y.shape[-1] if classes is None else None,
        scaling=scaling,
        source=parts[0].source,
        class_names=names,
    )


@dataclass(frozen=True)
class _Binning:
    """How events become frames."""

    frames: int
    window: float | None
    by: Literal["time", "count"]


def _recordings(where: str, arrays: Arrays, binning: _Binning, kind: str | None) -> _Recordings:
    """The recordings of one file."""
    events = {"t", "p"} <= set(arrays)
    needed = ("x", "y", "t", "p", "offsets", "target") if events else ("x", "y")
    missing = [name for name in needed if name not in arrays]
    if missing:
        held = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{where} lacks {', '.join(missing)} (it holds {held}). It needs x and y, and offsets where recordings differ in "
            f"length; of events x, y, t, p, offsets and target."
        )
    single = [name for name in needed if arrays[name].ndim == 0]
    if single:
        raise DataError(
            f"{where}: {single[0]} is a single value, {arrays[single[0]]}, expected an array of at least one axis."
        )
    x, y = arrays["x"], arrays["target" if events else "y"]
    if x.dtype.kind not in "fiub":
        raise DataError(f"{where}: x is {x.dtype}, expected numbers.")
    bounds = _bounds(where, arrays["offsets"], len(x)) if "offsets" in arrays else None
    if events:
        assert bounds is not None
        inputs = _frames(where, arrays, bounds, binning)
    elif bounds is not None:
        inputs = [(x if x.ndim > 1 else x[:, None])[low:high] for low, high in bounds]
    elif x.ndim < 3:
        raise DataError(
            f"{where}: x is {list(x.shape)}, expected [N, T, C]: samples, time steps, channels. For one channel save "
            f"x[..., None]; for recordings of different lengths x [sum T, C] and offsets [N + 1]."
        )
    else:
        inputs = [sample[:length] for sample, length in zip(x, _lengths(where, arrays, x), strict=True)]
    if not inputs:
        raise DataError(f"{where} holds no samples: x is {list(x.shape)}.")
    name = "target" if events else "y"
    real = is_real(y, kind)
    if y.dtype.kind not in ("fiub" if real else "fiubUSO"):
        raise DataError(
            f"{where}: {name} is {y.dtype}, expected numbers"
            + (", as --data.targets values says." if real else ", or text for classes.")
        )
    pieces = _in_pieces(where, name, y, bounds, x, inputs, real)
    return _Recordings(where, inputs, pieces, arrays.get("split"), _source(where, arrays, inputs[0], events))


def _source(where: str, arrays: Arrays, sample: np.ndarray, events: bool) -> Source | None:
    """What is known of the inputs, of which `sample` ``[T, C, *]`` is one."""
    if events:
        return Sensor(*sample.shape[2:])
    if "channel_names" not in arrays:
        return None
    names = arrays["channel_names"]
    if names.shape != (sample[0].size,):
        raise DataError(f"{where}: channel_names is {list(names.shape)}, expected a name for each of {sample[0].size}.")
    return Series(tuple(map(str, names)))


def _bounds(where: str, offsets: np.ndarray, rows: int) -> list[tuple[int, int]]:
    """Where each recording begins and ends."""
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 2:
        raise DataError(f"{where}: offsets is {offsets.dtype} {list(offsets.shape)}, expected whole numbers [N + 1].")
    ends = offsets.tolist()
    pairs = list(itertools.pairwise(ends))
    for index, (low, high) in enumerate(pairs):
        if high <= low:
            state = "is empty" if high == low else "ends before it begins"
            raise DataError(
                f"{where}: recording {index} {state}: offsets go from {low} to {high}. They must ascend, as in "
                f"numpy.concatenate([[0], numpy.cumsum(lengths)]); drop recordings without steps."
            )
    if ends[0] != 0 or ends[-1] != rows:
        raise DataError(f"{where}: offsets run from {ends[0]} to {ends[-1]}, expected 0 to {rows}, the rows of x.")
    return pairs


def _lengths(where: str, arrays: Arrays, x: np.ndarray) -> list[int]:
    """Of samples that are padded to one length."""
    n, steps = x.shape[:2]
    if steps == 0:
        raise DataError(f"{where}: x is {list(x.shape)}: samples without time steps.")
    lengths = arrays.get("lengths", np.full(n, steps))
    if lengths.shape != (n,) or lengths.dtype.kind not in "iu":
        raise DataError(f"{where}: lengths is {lengths.dtype} {list(lengths.shape)}, expected whole numbers [{n}].")
    if n and (lengths.min() < 1 or lengths.max() > steps):
        raise DataError(f"{where}: lengths run from {lengths.min()} to {lengths.max()}, expected 1 to {steps}.")
    return [int(length) for length in lengths]


def _frames(where: str, arrays: Arrays, bounds: list[tuple[int, int]], binning: _Binning) -> list[np.ndarray]:
    x, y, t, p = (arrays[name] for name in ("x", "y", "t", "p"))
    check_events(where, x, y, t, p)
    sensor = arrays.get("sensor", np.array([int(y.max()) + 1, int(x.max()) + 1]))
    if sensor.shape != (2,) or sensor.dtype.kind not in "iu":
        raise DataError(
            f"{where}: sensor is {sensor.dtype} {list(sensor.shape)}, expected two whole numbers: [height, width]."
        )
    height, width = map(int, sensor)
    if x.max() >= width or y.max() >= height:
        raise DataError(f"{where}: sensor is {[height, width]}, but events reach row {y.max()} and column {x.max()}.")
    made = []
    for index, (low, high) in enumerate(bounds):
        if (np.diff(t[low:high].astype(np.float64)) < 0).any():
            raise DataError(f"{where}: the times of recording {index} do not ascend. Sort its events by t.")
        part = slice(low, high)
        made.append(
            frames_of_events(
                x[part], y[part], t[part], p[part], height=height, width=width,
                frames=binning.frames, window=binning.window, bin_by=binning.by,
            )
        )  # fmt: skip
    return made


def _in_pieces(
    where: str,
    name: str,
    y: np.ndarray,
    bounds: list[tuple[int, int]] | None,
    x: np.ndarray,
    inputs: list[np.ndarray],
    real: bool,
) -> np.ndarray | list[np.ndarray]:
    """The targets as they are, one a recording; or cut into a list, one a step."""
    n, by_step = len(inputs), name == "y"  # recordings of events have one target each
    if len(y) == n and y.ndim <= 1 + real:
        return y
    if bounds is not None:
        if len(y) == len(x) and y.ndim <= 1 + real and by_step:
            return [y[low:high] for low, high in bounds]
        expected = f"[{n}], one a recording" + (f", or [{len(x)}], one a step" if by_step else "")
    else:
        steps = x.shape[1]
        if y.ndim == 2 + real and y.shape[:2] == (n, steps):
            return [row[: len(sample)] for row, sample in zip(y, inputs, strict=True)]
        expected = f"[{n}], one a sample, or [{n}, {steps}], one a step of x {list(x.shape)}"
        expected += ", and [..., K] for K numbers" if real else ""
    hint = "" if real or y.ndim == 1 or y.dtype.kind not in "iub" else " For real numbers give --data.targets values."
    raise DataError(f"{where}: {name} is {y.dtype} {list(y.shape)}, expected {expected}.{hint}")


def _targets(
    where: str, parts: list[_Recordings], lengths: list[int], kind: str | None
) -> tuple[Tensor, int | None, tuple[str, ...] | None]:
    """All targets as `Split` takes them; the number of classes, None for real numbers; their names if they have any."""
    by_step = isinstance(parts[0].targets, list)
    if any(isinstance(part.targets, list) != by_step for part in parts):
        raise DataError(f"{where}: one file has targets a step, another a sample.")
    pieces = [y for part in parts for y in (part.targets if isinstance(part.targets, list) else [part.targets])]
    shapes = sorted({piece.shape[1:] for piece in pieces})
    if len(shapes) > 1:
        raise DataError(
            f"{where}: the numbers of a target differ between its files: {', '.join(map(str, map(list, shapes)))}."
        )
    y = np.concatenate(pieces)
    classes = names = None
    if is_real(y, kind):
        y = _float32(where, "a target", y).reshape(len(y), -1)
        if not np.isfinite(y).all():
            bad = int((~np.isfinite(y)).any(1).argmax())
            raise DataError(
                f"{where}: {(~np.isfinite(y)).any(1).sum()} targets are NaN or infinite, the first is number {bad}. "
                f"Drop or repair them."
            )
    else:
        y, classes, names = _as_classes(where, y, by_step)
    rows = torch.from_numpy(y)
    if not by_step:
        return rows, classes, names
    padding = torch.nn.utils.rnn.pad_sequence(
        list(torch.split(rows, lengths)), batch_first=True, padding_value=0.0 if classes is None else NOT_SCORED
    )
    return padding, classes, names


def _as_classes(where: str, y: np.ndarray, by_step: bool) -> tuple[np.ndarray, int, tuple[str, ...] | None]:
    """Class numbers, how many classes there are (one more than the largest number, or the distinct texts), and the texts."""
    if y.dtype.kind not in "fiub":
        text = y.astype(str)
        unscored = text == ""
        if unscored.all() or (unscored.any() and not by_step):
            raise DataError(f"{where}: target {int(unscored.argmax())} is empty text, expected the name of a class.")
        names, numbers = np.unique(text[~unscored], return_inverse=True)
        classes = np.full(len(y), NOT_SCORED, np.int64)
        classes[~unscored] = numbers
        return classes, len(names), tuple(map(str, names))
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        raise DataError(f"{where}: classes must be whole numbers, but a target is {y[y != np.floor(y)][0]}.")
    outside = (y < NOT_SCORED) | (y >= _MOST_CLASSES)
    if outside.any():
        raise DataError(
            f"{where}: a target is {y[outside][0]}, expected a class from 0 to {_MOST_CLASSES - 1}. Number the classes without "
            f"gaps, as numpy.unique(y, return_inverse=True)[1] does, or make them text, such as 'id17'."
        )
    numbers = y.astype(np.int64)
    if (numbers == NOT_SCORED).all():
        raise DataError(f"{where}: all targets are {NOT_SCORED}, not scored. Give some of them a class from 0.")
    return numbers, int(max(numbers.max(), 0)) + 1, None


def _split(where: str, parts: list[_Recordings], validation: float, test: float, seed: int) -> np.ndarray:
    """0, 1 or 2 for each sample: train, validation or test. What the file does not say is drawn."""
    if not (0.0 < validation < 1.0 and 0.0 < test < 1.0 and validation + test < 1.0):
        raise DataError(
            f"validation is {validation} and test {test}, expected shares above 0 that leave some to train on."
        )
    counts = [len(part.inputs) for part in parts]
    split = np.concatenate([_given_split(part, count) for part, count in zip(parts, counts, strict=True)])
    if seed < 0:
        raise DataError(f"split_seed is {seed}, expected a whole number of at least 0.")
    n, order = len(split), np.random.default_rng(seed).permutation(len(split))
    for index, share in ((2, test), (1, validation)):
        if not (split == index).any():
            drawn = order[split[order] == 0][: max(1, round(share * n))]
            split[drawn] = index
    if not (split == 0).any():
        raise DataError(
            f"{where}: no sample is left to train on; of {n}, {(split == 1).sum()} validate, {(split == 2).sum()} test."
        )
    return split


def _given_split(part: _Recordings, count: int) -> np.ndarray:
    if part.split is None:
        return np.zeros(count, np.int64)
    given = part.split if part.split.ndim else np.full(count, part.split)  # one for all: a file named after its split
    known: list[object] = list(SPLITS) if given.dtype.kind in "UO" else [0, 1, 2]
    # Booleans would be 0 and 1, whichever split they mean.
    if given.dtype.kind == "b" or given.shape != (count,) or not set(given.tolist()) <= set(known):
        raise DataError(
            f"{part.where}: split is {given.dtype} {list(given.shape)} with {sorted(set(given.ravel().tolist()))[:5]}, "
            f"expected one of {', '.join(map(str, known))} for each of {count} samples."
        )
    return np.array([known.index(value) for value in given.tolist()], np.int64)


def _check_inputs(where: str, inputs: list[np.ndarray]) -> None:
    shapes = {x.shape[1:] for x in inputs}
    if len(shapes) > 1:
        raise DataError(f"{where}: the channels of the recordings differ: {sorted(map(list, shapes))}.")
    if math.prod(inputs[0].shape[1:]) == 0:
        raise DataError(
            f"{where}: a time step has the shape {list(inputs[0].shape[1:])}, expected at least one channel."
        )
    for sample, x in enumerate(inputs):
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(1)
        if bad.any():
            raise DataError(
                f"{where}: sample {sample} is NaN or infinite at time step {int(bad.argmax())} ({bad.sum()} such steps in it). "
                f"Fill or drop them, with numpy.nan_to_num say."
            )


def _float32(where: str, name: str, values: np.ndarray) -> np.ndarray:
    """What is too large is refused here, lest it be taken for an infinite value of the file."""
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, np.float32)
    lost = np.isinf(single) & np.isfinite(values)
    if lost.any():
        raise DataError(f"{where}: {name} is {values[lost][0]}, too large for float32 (3.4e38). Take a larger unit.")
    return single


def _check_changes(where: str, given: list[np.ndarray], inputs: list[np.ndarray]) -> None:
    """Raise where float32 rounds by more than a channel changes, as it does with times since 1970."""
    if all(np.can_cast(x.dtype, np.float32) for x in given):
        return
    exact, single = (
        np.concatenate([x.reshape(len(x), -1) for x in form]).astype(np.float64) for form in (given, inputs)
    )
    low, high = exact.min(0), exact.max(0)
    lost = (low < high) & (np.abs(single - exact).max(0) > exact.std(0))
    if lost.any():
        channel = int(lost.argmax())
        raise DataError(
            f"{where}: channel {channel} runs from {low[channel]:.17g} to {high[channel]:.17g}, which float32 does not tell "
            f"apart. Subtract an offset, such as its first value."
        )


def _scaling(inputs: list[np.ndarray]) -> Scaling:
    """Mean and deviation of each channel over all steps; a channel that never changes keeps its deviation."""
    rows = np.concatenate(inputs).astype(np.float64)
    deviation = rows.std(0)
    deviation[deviation == 0.0] = 1.0
    return Scaling(torch.from_numpy(rows.mean(0)).float(), torch.from_numpy(deviation).float())
