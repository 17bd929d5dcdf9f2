"""What is kept of a compiled kernel, and when it is thrown away."""

from pathlib import Path

import numba
import pytest

from spikescan.ops import _compile
from spikescan.ops.fire import cpu


def test_a_kept_kernel_follows_every_source_of_ops() -> None:
    """Numba alone would go on running a kernel when a file that it compiled in has changed."""
    stamp = cpu._fire._cache._cache_file._source_stamp
    assert _compile.source_hash() in stamp


def test_the_hash_follows_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compile, "__file__", str(tmp_path / "_compile.py"))
    (tmp_path / "op").mkdir()
    source = tmp_path / "op" / "cpu.py"
    hashes = set()
    for text in ("a = 1", "a = 2"):
        source.write_text(text)
        hashes.add(_compile.source_hash.__wrapped__())
    assert len(hashes) == 2


def test_without_a_folder_to_write_a_kernel_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    # Numba itself uses `njit` too, on functions, while it compiles the first of a process.
    def njit(*functions: object, **options: object) -> object:
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return real(*functions, **options)

    monkeypatch.setattr(numba, "njit", njit)

    def twice(a: float) -> float:
        return 2.0 * a

    assert _compile.kernel(twice)(1.5) == 3.0
