"""Find and read the files that a dataset is published as; a `DataError` says which file is wrong and what belongs there."""

import gzip
import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spikescan.errors import DataError

__all__ = [
    "DAMAGED_NPZ",
    "check_sha256",
    "find_file",
    "has_file",
    "locate",
    "read_bytes",
    "read_mat",
    "read_npz",
    "read_text",
]

_COMPRESSED = ("", ".gz", ".xz")


def locate(title: str, folders: tuple[str, ...], path: str | None, expected: str) -> Path:
    """Where the files of a dataset are: `path`; else one of `folders` in that of ``SPIKESCAN_DATA``.

    Args:
        title: the dataset's name, for messages.
        folders: its usual names; where the data folder has none of them, the data folder itself is taken.
        path: what the user gave, a folder or a file.
        expected: a sentence on the files that belong there.
    """
    if path is not None:
        place = Path(path).expanduser()
    elif os.environ.get("SPIKESCAN_DATA"):
        root = Path(os.environ["SPIKESCAN_DATA"]).expanduser()
        place = next((root / folder for folder in folders if (root / folder).is_dir()), root)
    else:
        raise DataError(
            f"{title} needs its files: give their folder as data.path (--data.path FOLDER) or in the environment "
            f"variable SPIKESCAN_DATA. {expected}"
        )
    if not place.exists():
        raise DataError(f"{title}: {place} does not exist. {expected}")
    return place


def find_file(title: str, place: Path, names: Iterable[str], expected: str) -> Path:
    """The first of `names` in the folder `place`, as it is or as ``.gz`` or ``.xz``; `place` itself if it is a file."""
    names = list(names)
    found = _found(place, names)
    if found is None:
        raise DataError(f"{title}: {place} has no {names[0]} (or .gz, .xz). Put it there. {expected}")
    return found


def has_file(place: Path, *names: str) -> bool:
    """Whether `find_file` would find one."""
    return _found(place, names) is not None


def _found(place: Path, names: Iterable[str]) -> Path | None:
    files = (place / (name + end) for name in names for end in _COMPRESSED)
    return place if place.is_file() else next((file for file in files if file.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """The content of a file, uncompressed if its name ends in ``.gz`` or ``.xz``."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            return gzip.decompress(content)
        return lzma.decompress(content) if path.suffix == ".xz" else content
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}). Fetch it again.") from error
    except lzma.LZMAError as error:
        raise DataError(f"{path} is a damaged xz file ({error}). Fetch it again.") from error


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """`read_bytes` as text; line ends are those of the file."""
    try:
        return read_bytes(path).decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no {encoding} text ({error}). Fetch it again.") from None


def check_sha256(path: Path, content: bytes, expected: str) -> None:
    """Raise `DataError` unless this is the published content."""
    given = hashlib.sha256(content).hexdigest()
    if given != expected:
        raise DataError(
            f"{path} is not the published file: its sha256 is {given}, expected {expected}. Fetch it again, or give "
            f"checksum=False to read it as it is."
        )


DAMAGED_NPZ = (
    ValueError, EOFError, TypeError, AttributeError, RuntimeError, OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError
)  # fmt: skip
"""What reading a damaged ``.npz`` raises: RuntimeError if it seems encrypted, OSError if a part seems to begin before it."""


def read_npz(path: Path, keys: Iterable[str], expected: str) -> dict[str, np.ndarray]:
    """The arrays `keys` of an ``.npz`` file; pickled objects are refused."""
    keys = list(keys)
    # numpy leaves a file that it cannot read open; this one it need not close. One that cannot be opened is not a damaged one.
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in keys}
        except KeyError as error:
            raise DataError(f"{path} lacks an array: {error.args[0]}. It needs {', '.join(keys)}.") from None
        except DAMAGED_NPZ as error:
            raise DataError(f"{path} is no .npz file, or a damaged one ({error}). {expected}") from error


def read_mat(path: Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays `keys` of a MATLAB 5 file."""
    keys = list(keys)
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(f"{path} is a MATLAB file, which scipy reads: pip install scipy.") from None
    with path.open("rb") as file:  # a file that cannot be opened is not a damaged one
        try:
            arrays = loadmat(file)
        except Exception as error:  # of damaged bytes scipy raises whatever it stumbles over, an UnboundLocalError too
            raise DataError(f"{path} is no MATLAB 5 file, or a damaged one ({error}). Fetch it again.") from error
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks an array: {missing[0]}. It needs {', '.join(keys)}.")
    return {key: arrays[key] for key in keys}
