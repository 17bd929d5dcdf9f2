"""Keeping freed memory: what large tensors on a CPU cost beyond their arithmetic."""

import ctypes
import sys

__all__ = ["retain_freed_memory"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def retain_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors instead of returning it to the system.

    glibc maps each large tensor anew and unmaps it when it is freed, so every training step pays for fresh pages: adding 1 to
    64 MiB took 43 ms that way and 3 ms in memory that had been kept (`docs/performance.md`). The price is that the process
    stays as large as it ever was. It changes the whole process, so a program calls it, never an import.

    Returns:
        Whether the allocator took the setting; False where it is not glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = 2**31 - 1
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, largest))
