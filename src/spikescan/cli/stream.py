"""spikescan stream"""

import itertools
import math
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
from spikescan.training.inputs import StepInput, read_step_input

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Print the output of each time step as soon as its input is there: one line of numbers a step."""
    parser = command_parser("stream")
    parser.add_argument("run", help="a run folder")
    parser.add_argument(
        "--input",
        default="-",
        help="a .npy file [T, C, ...] (or [T] for one channel) of what the data's own files hold, such as pixels 0 to 255; "
        "- reads a line of so many numbers a step",
    )
    given = parse(parser, arguments)
    loaded = load_any_run(given["run"])
    form = read_step_input(loaded.folder) or StepInput((loaded.index.shape.inputs,))
    live = stream(loaded.model)
    steps = _from_lines(_stdin(), form.shape) if given["input"] == "-" else _from_file(Path(given["input"]), form.shape)
    for given_t in steps:
        x_t = form(given_t if loaded.scaling is None else loaded.scaling(given_t))
        sys.stdout.write(" ".join(f"{value:.6g}" for value in live.push(x_t).flatten().tolist()) + "\n")
        sys.stdout.flush()
    return 0


def _from_file(path: Path, shape: tuple[int, ...]) -> Iterator[Tensor]:
    expected = f"[{', '.join(map(str, ('T', *shape)))}]"
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is no .npy file ({error}). numpy.save writes one, of shape {expected}.") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        held = values.dtype if isinstance(values, np.ndarray) else "several arrays"
        raise DataError(f"{path} holds {held}, expected one array of real numbers or booleans, of shape {expected}.")
    steps = values[:, None] if values.ndim == 1 and shape == (1,) else values
    if steps.shape[1:] != shape:
        raise DataError(f"{path} holds {list(values.shape)}, expected {expected}: the input channels of each step.")
    yield from torch.from_numpy(np.ascontiguousarray(steps, np.float32))


def _stdin() -> TextIO:
    if sys.stdin is None:  # closed by the shell, as in <&-
        raise DataError("Standard input is closed: pipe lines of numbers into it, or name a file: --input FILE.npy.")
    return sys.stdin


def _from_lines(lines: TextIO, shape: tuple[int, ...]) -> Iterator[Tensor]:
    count = math.prod(shape)
    # readline, not iteration: a step is answered before the next one is waited for.
    for number in itertools.count(1):
        try:
            line = lines.readline()
        except UnicodeDecodeError as error:
            raise DataError(
                f"The input after line {number - 1} is no text: {error}. Expected {count} numbers."
            ) from error
        if not line:
            return
        try:
            values = [float(word) for word in line.replace(",", " ").split()]
        except ValueError:
            raise DataError(f"Line {number} is {line.strip()!r}, expected {count} numbers.") from None
        if len(values) != count:
            raise DataError(f"Line {number} has {len(values)} numbers, expected {count}, one an input channel.")
        yield torch.tensor(values).view(shape)
