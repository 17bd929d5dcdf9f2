"""Read the IDX files in which MNIST and its relatives are published."""

import math
import struct
from pathlib import Path

import numpy as np

from spikescan.data.files import read_bytes
from spikescan.errors import DataError

__all__ = ["read_idx"]

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain, ``.gz`` or ``.xz``.

    Args:
        path: the file.
        dimensions: 3 for images, 1 for labels; another number in the file raises.

    Raises:
        DataError: the file is missing, is no IDX file, is truncated, or has bytes left over.
    """
    content = read_bytes(path)
    if len(content) < 4 + 4 * dimensions:
        raise DataError(f"{path} has {len(content)} bytes, too few for the header of an IDX file. Fetch it again.")
    zero, kind, found = struct.unpack(">HBB", content[:4])
    if zero != 0 or kind != _UNSIGNED_BYTE or found != dimensions:
        raise DataError(
            f"{path} starts with {content[:4].hex(' ')}, but an IDX file of unsigned bytes in {dimensions} dimensions "
            f"starts with 00 00 08 {dimensions:02x}. It is not the file its name says; fetch it again."
        )
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    given, expected = len(content) - 4 - 4 * dimensions, math.prod(shape)
    if given != expected:
        state = "truncated" if given < expected else "followed by other bytes"
        raise DataError(
            f"{path} is {state}: its header announces {' x '.join(map(str, shape))} = {expected} bytes, "
            f"it holds {given}. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
