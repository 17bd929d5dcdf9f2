"""A thread pool for kernels that release the GIL.

Numba's own threading layers are not all safe for concurrent Python threads (workqueue) or for forked processes (GNU OpenMP).
Ours is: a kernel takes a range of neurons, each thread runs one part of it, and a forked child starts with no pool.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import torch

__all__ = ["parts", "spread"]

_pool: ThreadPoolExecutor | None = None

# Handing a part to another thread takes about 20 microseconds; below this much work it does not pay.
MINIMUM_WORK = 1 << 15


def _forget_pool() -> None:
    """A forked child has the object of the pool but none of its threads."""
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget_pool)


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=max(os.cpu_count() or 1, 1), thread_name_prefix="spikescan")
    return _pool


def parts(neurons: int, steps: int, grain: int) -> int:
    """How many threads share `neurons` in groups of `grain`, up to `torch.get_num_threads()`; `steps` each is the work."""
    if neurons * steps < MINIMUM_WORK:
        return 1
    return max(1, min(torch.get_num_threads(), -(-neurons // grain)))


def spread(run: Callable[[int, int, int], None], neurons: int, grain: int, count: int) -> None:
    """Call ``run(part, low, high)`` on `count` ranges that together cover the neurons, each on a thread of its own.

    Ranges begin at multiples of `grain`. `count` comes from `parts`, once: another thread may change torch's number.
    """
    if count == 1:
        run(0, 0, neurons)
        return
    groups = -(-neurons // grain)
    bounds = [min(groups * i // count * grain, neurons) for i in range(count + 1)]
    others = [_executor().submit(run, i, bounds[i], bounds[i + 1]) for i in range(1, count)]
    try:
        run(0, bounds[0], bounds[1])
    finally:
        # The others write into tensors that die with the caller, so it waits for them whatever happened here.
        wait(others)
    for other in others:
        other.result()
