"""``metrics.csv``: one row an epoch."""

import csv
import io
from pathlib import Path

from spikescan.errors import CheckpointError, InputError
from spikescan.files import write_text

__all__ = ["read_metrics", "write_metrics", "write_tensorboard"]


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows written so far; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [{name: _number(name, value) for name, value in row.items()} for row in csv.DictReader(file)]
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error}); delete it to go on without the rows so far."
            ) from error


def write_metrics(path: Path, rows: list[dict[str, float]]) -> None:
    """Write all rows anew, whole or not at all: a full disk leaves the rows that were there."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _number(name: str, text: str) -> float:
    """Epochs and steps are counted, all else is measured."""
    value = float(text)
    return int(value) if name in ("epoch", "step") else value


def write_tensorboard(folder: Path, row: dict[str, float]) -> None:
    """Add one row to the event files that TensorBoard reads.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("tensorboard: true needs a package: pip install 'spikescan[tensorboard]'.") from None
    with SummaryWriter(folder) as writer:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))
