"""How a CPU kernel is compiled and kept on disk."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.extending

__all__ = ["inline", "intrinsic", "kernel"]

_OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def inline(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call, and only they; it is compiled into each of them.

    There is no way in from Python: compiling that would take as long as the function itself.
    """
    return numba.njit(forceinline=True, no_cpython_wrapper=True, **_OPTIONS)(function)


def intrinsic(function: Callable[..., Any]) -> Any:
    """Make a function that writes LLVM instructions callable in kernels."""
    return numba.extending.intrinsic(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel at its first call for each set of argument types, and keep the result on disk.

    Numba throws a kept kernel away when the file of the kernel changes, but not when a file does that the kernel compiled in.
    A changed `_simd.py` would go on running as it was. So the stamp of a kept kernel is a hash of all sources of `ops`.
    """
    try:
        dispatcher = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return numba.njit(**_OPTIONS)(function)
    file = getattr(dispatcher._cache, "_cache_file", None)
    if file is not None and hasattr(file, "_source_stamp"):
        file._source_stamp = (file._source_stamp, source_hash())
    return dispatcher


@functools.cache
def source_hash() -> str:
    """A hash of every source that a CPU kernel can be made of."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
