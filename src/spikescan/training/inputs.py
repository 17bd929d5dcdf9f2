"""What a time step looks like in a dataset's files, kept in the run folder so that a stream is read as training was."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from spikescan.data import Dataset
from spikescan.data.splits import AsFloat, OneHot
from spikescan.errors import CheckpointError, DataError
from spikescan.files import write_text
from spikescan.training.choices import construct

__all__ = ["StepInput", "read_step_input", "write_step_input"]

_FILE = "inputs.json"
_ENCODINGS: dict[str, Callable[..., AsFloat | OneHot]] = {"as_float": AsFloat, "one_hot": OneHot}


@dataclass(frozen=True)
class StepInput:
    """One time step, as it is stored and as the model takes it.

    Args:
        shape: stored, such as ``(3, 32)`` for the columns of a colour image.
        encode: as `Split.encode`; None where the model takes what is stored.
    """

    shape: tuple[int, ...]
    encode: AsFloat | OneHot | None = None

    def __call__(self, stored: Tensor) -> Tensor:
        """Stored numbers of `shape` to what the model takes, ``[C, *]``.

        Raises:
            DataError: a number is no symbol of the dataset.
        """
        if self.encode is None:
            return stored
        if isinstance(self.encode, OneHot):
            last = self.encode.symbols - 1
            wrong = stored[(stored < 0) | (stored > last) | (stored != stored.round())]
            if len(wrong):
                raise DataError(f"{float(wrong[0]):g} is no symbol, expected a whole number from 0 to {last}.")
        return self.encode(stored[None, None])[0, 0]


def write_step_input(folder: Path, dataset: Dataset) -> None:
    """Keep what `read_step_input` needs."""
    stored = dataset.train
    kind = next((name for name, encoding in _ENCODINGS.items() if type(stored.encode) is encoding), None)
    encoding = None if stored.encode is None else {"kind": kind, **(asdict(stored.encode) if kind else {})}  # type: ignore[call-overload]
    values = {"shape": list(stored.inputs.shape[2:]), "encoding": encoding}
    write_text(folder / _FILE, json.dumps(values) + "\n")


def read_step_input(folder: Path) -> StepInput | None:
    """What a time step of a run's data looks like; None where the run does not say.

    Raises:
        CheckpointError: the file is damaged, or the data was encoded in a way that cannot be repeated.
    """
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        shape, encoding = tuple(values["shape"]), values["encoding"]
        kind = None if encoding is None else encoding.pop("kind")
        encode = construct(f"encoding {kind}", _ENCODINGS[kind], {}, encoding) if kind else None
        if not all(isinstance(size, int) and size > 0 for size in shape):
            raise ValueError("expected a shape of whole numbers above 0")
        if not all(number > 0 for number in (encoding or {}).values()):
            raise ValueError("expected an encoding with numbers above 0")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}).") from error
    if encoding is not None and encode is None:
        raise CheckpointError(f"{path}: the data was encoded by code of its own, which a stream cannot repeat.")
    return StepInput(shape, encode)
