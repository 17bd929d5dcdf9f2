"""What other commands left in a run folder."""

import json
from pathlib import Path
from typing import Any

from spikescan.errors import CheckpointError

__all__ = ["read_kept"]


def read_kept(path: Path) -> dict[str, Any] | None:
    """The values in a JSON file; None if there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); delete it, and what it held is left out or measured anew."
        ) from error
