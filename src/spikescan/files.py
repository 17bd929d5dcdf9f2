"""Write a file whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_bytes", "write_text", "write_whole"]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path` in one step.

    If anything fails (a full disk, Ctrl-C), `path` is what it was before and nothing else is left behind. An `OSError` then
    names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)  # a write that fails names no file, opening one the temporary file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """`write_whole` of bytes."""
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """`write_whole` of a text."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _flush(path: Path) -> None:
    """A file that is renamed before its content is on the disk can be empty after a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
