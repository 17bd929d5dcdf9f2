"""How a worker talks: a line of JSON in, a line of JSON out; arrays travel in files."""

import ctypes
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Job(NamedTuple):
    """A piece of work, ready to run."""

    calls: Mapping[str, Callable[[], object]]
    """What can be timed. Each returns when its result is there."""
    outputs: Callable[[bool], Arrays]
    """Results to be compared; gradients only where asked for."""


Load = Callable[[dict[str, Any], Arrays], Job]


def serve(load: Load) -> None:
    """Answer until the other end closes: load, outputs, time, peak, drop.

    An error is an answer. Whatever a library prints goes to standard error.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job: Job | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        reply: dict[str, Any] = {}
        try:
            match asked["do"]:
                case "load":
                    with np.load(asked["inputs"]) as file:
                        job = load(asked, dict(file))
                case "outputs":
                    assert job is not None
                    np.savez(asked["path"], **job.outputs(asked["gradients"]))
                case "time":
                    assert job is not None
                    for _ in range(asked["calls"]):
                        reply["seconds"] = _seconds(job.calls[asked["call"]])
                case "peak":
                    assert job is not None
                    reply["bytes"] = _peak(job.calls[asked["call"]])
                case "drop":
                    job = None
                    gc.collect()
        except MemoryError:
            reply = {"error": "memory"}
        except Exception as error:  # whatever a library does, the others go on
            text = f"{type(error).__name__}: {error}"
            lack = any(word in text for word in ("can't allocate", "RESOURCE_EXHAUSTED", "Out of memory", "bad_alloc"))
            reply = {"error": "memory" if lack else text.splitlines()[0][:300]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def limit(memory: int, threads: int) -> None:
    """No more private memory than `memory` bytes, no more cores than `threads`; before a library is imported."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _peak(call: Callable[[], object]) -> int | None:
    """How much the process grew while `call` ran, its result included; None where the system does not tell (Linux does).

    It has run before, so that what a library sets up once is not counted.
    """
    reset = Path("/proc/self/clear_refs")
    if not os.access(reset, os.W_OK):
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # memory freed before, but kept, would hide what the call takes
    reset.write_text("5")
    before = _status("VmRSS")
    kept = call()
    grown = _status("VmHWM") - before
    del kept
    return grown


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


limit(int(sys.argv[1]), int(sys.argv[2]))
