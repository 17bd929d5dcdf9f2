"""A thread pool for kernels that release the GIL.

Numba's own threading layers are not all safe for concurrent Python threads (workqueue) or for forked processes (GNU OpenMP).
Ours is: a kernel takes a range of neurons, each thread runs one part of it, and a forked child starts with no pool.
"""

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

import torch

__all__ = ["parts", "spread"]


class _Pool:
    """Threads that wait for jobs, which raise nothing."""

    def __init__(self, threads: int) -> None:
        self.jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for i in range(threads):
            Thread(target=self._serve, name=f"spikescan-{i}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.jobs.get()()


_pool: _Pool | None = None

# Up to this much work, of 0.3 to 1 milliseconds, another thread does not pay: on a machine where nothing else runs its core has
# gone to sleep, and handing it a part takes 0.1 to 0.25 of them (docs/performance.md).
MINIMUM_WORK = 1 << 20
RANGES_A_THREAD = 2
LEAST_RANGE = 2048  # neurons, two pages of float32: memory is read in runs of this length
LEAST_RANGE_WORK = 1 << 18  # a range is a call from Python, which holds the other threads up


def _forget_pool() -> None:
    """A forked child has the object of the pool but none of its threads."""
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget_pool)


def _ready_pool() -> _Pool:
    global _pool
    if _pool is None:
        _pool = _Pool(max(os.cpu_count() or 1, 1))
    return _pool


def parts(neurons: int, work: int, grain: int) -> int:
    """Into how many ranges `spread` should cut `neurons`, in groups of `grain`, with this much `work` each.

    The unit of work is a time step of a light kernel, some 0.3 to 1 nanoseconds.

    As many as `torch.get_num_threads()`, or twice that where there is enough: a thread that shares its core, such as with
    an idle thread of OpenMP that spins, then takes fewer of them.
    """
    total = neurons * work
    if total <= MINIMUM_WORK:
        return 1
    threads = torch.get_num_threads()
    wanted = min(RANGES_A_THREAD * threads, neurons // LEAST_RANGE, total // LEAST_RANGE_WORK)
    return max(1, min(-(-neurons // grain), max(threads, wanted)))


def spread(run: Callable[[int, int, int], None], neurons: int, grain: int, count: int) -> None:
    """Call ``run(part, low, high)`` on `count` ranges that together cover the neurons, on up to torch's number of threads.

    Ranges begin at multiples of `grain`. Which thread runs a range does not change what the range gives.
    """
    if count == 1:
        run(0, 0, neurons)
        return
    groups = -(-neurons // grain)
    bounds = [min(groups * i // count * grain, neurons) for i in range(count + 1)]
    ranges = iter(list(zip(range(count), bounds[:-1], bounds[1:], strict=True)))

    def take() -> None:
        for each in ranges:  # `next` on a list's iterator is atomic: no range is taken twice
            run(*each)

    # A helper that begins takes a ticket; so does the caller, once nothing is left to do, for each that has not begun.
    tickets = [None] * (min(torch.get_num_threads(), count) - 1)
    results: SimpleQueue[BaseException | None] = SimpleQueue()

    def help_out() -> None:
        if not _taken(tickets):
            return
        try:
            take()
        except BaseException as error:
            results.put(error)
        else:
            results.put(None)

    awaited = len(tickets)
    for _ in range(awaited):
        _ready_pool().jobs.put(help_out)
    try:
        take()
    finally:
        # The others write into tensors that die with the caller, so it waits for them whatever happened here.
        while _taken(tickets):
            awaited -= 1
        errors = [results.get() for _ in range(awaited)]
    for error in errors:
        if error is not None:
            raise error


def _taken(tickets: list[None]) -> bool:
    """Take a ticket if one is left; atomic, as `pop` is."""
    try:
        tickets.pop()
    except IndexError:
        return False
    return True
