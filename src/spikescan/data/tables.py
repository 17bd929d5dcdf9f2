"""Files of a user's own, as arrays: ``.npz``, folders of them, ``.csv`` and ``.parquet``."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from spikescan.data.dataset import NOT_SCORED
from spikescan.data.files import DAMAGED_NPZ
from spikescan.errors import DataError

__all__ = ["SPLITS", "Arrays", "is_real", "read_arrays"]

Arrays = dict[str, np.ndarray]
SPLITS = ("train", "validation", "test")
_TABLE = (
    "A table has a row a step: columns sample, split (may be left out), target or step_target (more of them: target_a, "
    "target_b, ...), and the features, all other columns."
)


def read_arrays(path: Path, kind: str | None) -> list[tuple[str, Arrays]]:
    """The arrays of each file, with a name for messages; `kind` is what `is_real` takes.

    A folder with ``train.npz`` gives up to three files, each with a `split` of its own; any other folder of ``.npz`` is read
    as one recording a file, which becomes one file of ragged recordings.

    Raises:
        DataError: there is no such file, or it is damaged or of another kind.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise DataError(f"There is no file or folder {path}. Give --data.path FILE.npz, a .csv, or a folder of .npz.")
    tables = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix in tables:
        return [(str(path), _from_table(path, *tables[path.suffix](path), kind))]
    if path.suffix != ".npz":
        raise DataError(
            f"{path} ends in {path.suffix or 'nothing'}, expected one of .npz, {', '.join(tables)}, or a folder."
        )
    return [(str(path), _read_npz(path))]


def is_real(y: np.ndarray, kind: str | None) -> bool:
    """Whether targets are real numbers, not classes: as `kind` says, ``"classes"`` or ``"values"``; else floats are."""
    return y.dtype.kind == "f" if kind is None else kind == "values"


def _read_folder(folder: Path) -> list[tuple[str, Arrays]]:
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise DataError(f"{folder} holds no .npz file. Put train.npz and test.npz there, or one .npz a recording.")
    if folder / "train.npz" in files:
        parts = [folder / f"{name}.npz" for name in SPLITS if (folder / f"{name}.npz").is_file()]
        others = [file.name for file in files if file not in parts]
        if others:
            raise DataError(
                f"{folder} holds {', '.join(others)} beside train.npz, expected validation.npz and test.npz alone. "
                f"Rename it, or move it elsewhere."
            )
        found = [(str(part), _read_npz(part)) for part in parts]
        for name, arrays in found:
            if "split" in arrays:
                raise DataError(
                    f"{name} has an array split, but its name says which split it is. Remove one of the two."
                )
            arrays["split"] = np.array(Path(name).stem)
        return found
    recordings = [_read_npz(file) for file in files]
    for file, arrays in zip(files, recordings, strict=True):
        if {"t", "p"} <= set(arrays):
            raise DataError(
                f"{file} holds {_shapes(arrays)}: events, which a folder of recordings does not take. Put those of all "
                f"recordings into one .npz, one after the other, with offsets and target."
            )
        if "split" in arrays:
            raise DataError(
                f"{file} has an array split, which a folder of recordings does not take. Put the recordings of each split into "
                f"one file, train.npz, validation.npz and test.npz, with offsets."
            )
        if "y" not in arrays or "x" not in arrays or "offsets" in arrays or arrays["x"].ndim not in (1, 2):
            raise DataError(
                f"{file} holds {_shapes(arrays)}, expected one recording: x [T, C] and y (a number, or one a step). "
                f"For whole splits name the files train.npz, validation.npz and test.npz."
            )
    lengths = [len(arrays["x"]) for arrays in recordings]
    steps = all(
        arrays["y"].ndim and len(arrays["y"]) == length for arrays, length in zip(recordings, lengths, strict=True)
    )
    targets = [arrays["y"] if steps else arrays["y"].reshape(1, -1).squeeze(1) if arrays["y"].size == 1 else arrays["y"][None]
               for arrays in recordings]  # fmt: skip
    try:
        joined = {"x": np.concatenate([arrays["x"] for arrays in recordings]), "y": np.concatenate(targets)}
    except ValueError as error:
        raise DataError(f"{folder}: the recordings do not fit each other ({error}).") from None
    return [(str(folder), {**joined, "offsets": np.concatenate([[0], np.cumsum(lengths)])})]


def _read_npz(path: Path) -> Arrays:
    # numpy leaves a file that it cannot read open; this one it need not close. One that cannot be opened is not a damaged one.
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except DAMAGED_NPZ as error:
            raise DataError(
                f"{path} is no .npz file, a damaged one, or holds Python objects ({error}). Write it with "
                f"numpy.savez({path.name!r}, x=..., y=...); recordings of different lengths go one after the other, with "
                f"offsets."
            ) from error


def _read_csv(path: Path) -> tuple[list[str], list[np.ndarray]]:
    """Names and columns, all of them text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV text ({error}).") from error
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise DataError(
            f"{path} separates its columns by {other!r}, expected commas, and points in numbers. Save it as CSV with commas, "
            f"as pandas does: pandas.read_csv({path.name!r}, sep={other!r}).to_csv('commas.csv', index=False)."
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number} has {len(row)} fields, the header has {len(header)}.")
    return header, [np.array([row[index] for row in rows], str) for index in range(len(header))]


def _read_parquet(path: Path) -> tuple[list[str], list[np.ndarray]]:
    """Names and columns."""
    try:
        import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise DataError(f"{path} needs a package: pip install pyarrow. A .csv or .npz needs none.") from None
    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
    except ValueError as error:  # pyarrow's errors are such
        raise DataError(f"{path} is no Parquet file, or a damaged one ({error}).") from error
    for field in table.schema:
        if pyarrow.types.is_nested(field.type):
            raise DataError(
                f"{path}: the column {field.name!r} holds {field.type}, expected a number or text in each row. Give each of "
                f"its numbers a column, such as {field.name}_a and {field.name}_b."
            )
    return table.column_names, [_cells(column) for column in table.columns]


def _cells(column: Any) -> np.ndarray:
    """A column of pyarrow's; one of text or with nulls as of a CSV, a null an empty cell."""
    values: np.ndarray = column.to_numpy()
    if column.null_count == 0 and values.dtype.kind != "O":
        return values
    return np.array(["" if cell is None else str(cell) for cell in column.to_pylist()], str)


def _from_table(path: Path, names: list[str], values: list[np.ndarray], kind: str | None) -> Arrays:
    """Rows of steps to ragged arrays; a sample's rows may stand anywhere, but in the order of time."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path} has more than one column {twice[0]!r}, expected each name once. Rename or drop them.")
    columns = dict(zip(names, values, strict=True))
    shown = ", ".join(map(repr, columns))  # a blank beside a name is seen
    _check_named(path, names)
    if "sample" not in columns:
        raise DataError(f"{path} has no column 'sample' (it has {shown or 'none'}). {_TABLE}")
    if len(columns["sample"]) == 0:
        raise DataError(f"{path} has the columns {shown}, but no rows. {_TABLE}")
    named_by = columns["sample"]
    unnamed = np.isnan(named_by) if named_by.dtype.kind == "f" else _is_empty(named_by)
    if unnamed.any():
        raise DataError(
            f"{path}: sample is empty in {unnamed.sum()} rows, first in row {int(unnamed.argmax()) + 1} below the header; "
            f"expected the sample that the step belongs to. Fill it in, or drop the row."
        )
    _, first, sample = np.unique(columns["sample"], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[sample]  # samples in the order in which they appear
    order = np.argsort(rank, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rank))])
    rows = {name: column[order] for name, column in columns.items()}
    samples = rows["sample"]
    named = {kind: [n for n in columns if n == kind or n.startswith(f"{kind}_")] for kind in ("target", "step_target")}
    targets = named["target"] or named["step_target"]
    features = [name for name in columns if name not in ("sample", "split", "step", *targets)]
    if not targets or (named["target"] and named["step_target"]) or not features:
        raise DataError(f"{path} has the columns {shown}. {_TABLE}")
    y = [_targets(path, name, rows[name], samples, kind) for name in targets]
    if named["target"]:
        advice = "Call the column step_target for one a step."
        y = [_once(path, name, column, samples, offsets, advice) for name, column in zip(targets, y, strict=True)]
    arrays = {
        "x": np.stack([_numbers(path, name, rows[name], samples) for name in features], axis=1),
        "y": y[0] if len(targets) == 1 else np.stack(y, axis=1),
        "offsets": offsets,
        "channel_names": np.array(features),
    }
    if "step" in columns:
        step = _numbers(path, "step", rows["step"], samples)
        falling = ~(step[1:] > step[:-1]) & (np.diff(rank[order]) == 0)
        if falling.any():
            name = samples[int(falling.argmax())]
            raise DataError(f"{path}: the steps of sample {name} do not ascend. Sort the rows by sample and step.")
    if "split" in columns:
        split = _once(path, "split", rows["split"], samples, offsets, "All rows of a sample belong to one split.")
        arrays["split"] = _numbers_or_text(split)
    return arrays


def _check_named(path: Path, names: list[str]) -> None:
    """Raise for the numbers of rows that pandas writes: as an input they would tell a sample's place in the file."""
    for place, name in enumerate(names, start=1):
        if not name.strip() or name.startswith(("Unnamed: ", "__index_level_")):
            raise DataError(
                f"{path}: column {place} is called {name!r}, expected a name. If it is the index of pandas, leave it out: "
                f"index=False when writing; else name the column, or drop it."
            )


def _once(
    path: Path, name: str, column: np.ndarray, samples: np.ndarray, offsets: np.ndarray, advice: str
) -> np.ndarray:
    """What a column says of each sample; raises where it changes within one."""
    values: np.ndarray = column[offsets[:-1]]
    changed = column != np.repeat(values, np.diff(offsets))
    if changed.any():
        raise DataError(f"{path}: {name} changes within sample {samples[int(changed.argmax())]}. {advice}")
    return values


def _targets(path: Path, name: str, column: np.ndarray, samples: np.ndarray, kind: str | None) -> np.ndarray:
    """A column of targets, parsed; an empty cell is a step without a class."""
    empty = _is_empty(column)
    found = _numbers_or_text(column[~empty])
    wrong = ~np.isfinite(found) if found.dtype.kind == "f" else np.zeros(len(found), bool)
    if wrong.any():
        sample = samples[~empty][int(wrong.argmax())]
        raise DataError(
            f"{path}: {name} is {found[wrong][0]} in sample {sample}, expected a finite number. Drop or repair it."
        )
    if not empty.any():
        return found
    where = f"{path}: {name} is empty in sample {samples[int(empty.argmax())]}"
    if not name.startswith("step_"):
        raise DataError(f"{where}, expected the sample's target in each of its rows. Fill it in, or drop the sample.")
    if is_real(found, kind):
        raise DataError(
            f"{where}, expected a real number at each step: only a class may be left out, where a step is not scored. "
            f"Fill it in, or drop the step; --data.targets classes takes whole numbers for classes."
        )
    parsed = np.full(len(column), "" if found.dtype.kind == "U" else NOT_SCORED, found.dtype)
    parsed[~empty] = found
    return parsed


def _is_empty(column: np.ndarray) -> np.ndarray:
    """Which cells hold nothing."""
    return np.strings.strip(column) == "" if column.dtype.kind == "U" else np.zeros(len(column), bool)


def _numbers(path: Path, name: str, column: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Whole numbers stay whole: float64 does not tell times in nanoseconds apart."""
    empty = _is_empty(column)
    if empty.any():
        raise DataError(
            f"{path}: {name} is empty in {empty.sum()} rows, first in sample {samples[int(empty.argmax())]}, expected a "
            f"number in each. Fill them in, drop the rows, or drop the column."
        )
    found = _numbers_or_text(column)
    if found.dtype.kind == "U":
        wrong = next(index for index, cell in enumerate(column) if not _is_number(cell))
        raise DataError(
            f"{path}: {name} is {str(column[wrong])!r} in sample {samples[wrong]}, expected a number: all columns but sample, "
            f"split, step and the targets are inputs. Mend the cell, or drop the column."
        )
    return found if found.dtype.kind in "iu" else found.astype(np.float64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _numbers_or_text(column: np.ndarray) -> np.ndarray:
    """Text as whole numbers where all of it is, as numbers where all of it is, else as it stands: 2024_01 is a name."""
    if column.dtype.kind == "U" and (np.strings.find(column, "_") >= 0).any():
        return column
    for kind in (np.int64, np.float64):
        if column.dtype.kind != "U":
            break
        try:
            return column.astype(kind)
        except (ValueError, OverflowError):
            continue
    return column


def _shapes(arrays: Arrays) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "nothing"
