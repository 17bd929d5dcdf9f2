"""spikescan stream"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import load_any_run
from spikescan.errors import DataError
from spikescan.streaming import stream

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Print the output of each time step as soon as its input is there: one line of numbers a step."""
    parser = command_parser("stream")
    parser.add_argument("run", help="a run folder")
    parser.add_argument(
        "--input", default="-", help="a .npy file [T, C] (or [T] for one channel); - reads a line of C numbers a step"
    )
    given = parse(parser, arguments)
    loaded = load_any_run(given["run"])
    channels = loaded.index.shape.inputs
    live = stream(loaded.model)
    steps = _from_lines(sys.stdin, channels) if given["input"] == "-" else _from_file(Path(given["input"]), channels)
    for given_t in steps:
        x_t = given_t if loaded.scaling is None else loaded.scaling(given_t)
        sys.stdout.write(" ".join(f"{value:.6g}" for value in live.push(x_t).flatten().tolist()) + "\n")
        sys.stdout.flush()
    return 0


def _from_file(path: Path, channels: int) -> Iterator[Tensor]:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{path} is no .npy file ({error}). numpy.save writes one, of shape [T, {channels}]."
        ) from error
    if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.number):
        raise DataError(f"{path} holds no array of numbers; expected one of shape [T, {channels}].")
    steps = values[:, None] if values.ndim == 1 and channels == 1 else values
    if steps.ndim != 2 or steps.shape[1] != channels:
        raise DataError(f"{path} holds {list(values.shape)}, expected [T, {channels}]: a row of input channels a step.")
    yield from torch.from_numpy(np.ascontiguousarray(steps, np.float32))


def _from_lines(lines: TextIO, channels: int) -> Iterator[Tensor]:
    # readline, not iteration: a step is answered before the next one is waited for.
    for number, line in enumerate(iter(lines.readline, ""), start=1):
        try:
            values = [float(word) for word in line.replace(",", " ").split()]
        except ValueError:
            raise DataError(f"Line {number} is {line.strip()!r}, expected {channels} numbers.") from None
        if len(values) != channels:
            raise DataError(f"Line {number} has {len(values)} numbers, expected {channels}, one an input channel.")
        yield torch.tensor(values)
