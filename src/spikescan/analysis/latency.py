"""How long one sequence takes in parallel, and one time step on a stream."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from spikescan.analysis._watch import evaluating
from spikescan.errors import InputError
from spikescan.neurons.base import Temporal

__all__ = ["Latency", "measure_latency"]


@dataclass(frozen=True)
class Latency:
    """Wall-clock times of inference; each is a median."""

    samples: int
    """Samples in the batch."""
    steps: int
    """Time steps of the sequence."""
    parallel_seconds: float
    """The whole sequence at once."""
    step_seconds: float
    """One call of `step`."""
    step_seconds_99: float
    """99 of 100 calls of `step` are at most this slow."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; ``Latency(**values)`` reads them back."""
        return asdict(self)


def measure_latency(model: Temporal, x: Tensor, *, repeats: int = 5) -> Latency:
    """Time a model in evaluation mode: `repeats` parallel runs of ``x`` (``[T, B, C, *]``), and as many step by step.

    A first run of each is not counted, since kernels are compiled in it.
    """
    if x.ndim < 3 or len(x) == 0 or repeats < 1:
        raise InputError(
            f"x has shape {list(x.shape)} and repeats is {repeats}, expected [T, B, C, *] with at least one time step, "
            "and repeats of at least 1."
        )
    whole: list[float] = []
    single: list[float] = []
    with evaluating(model), torch.inference_mode():
        for _ in range(repeats + 1):
            state = None
            whole.append(_seconds(lambda: model(x), x))
            for x_t in x.unbind(0):
                started = time.perf_counter()
                _, state = model.step(x_t, state)
                _wait(x)
                single.append(time.perf_counter() - started)
    single = sorted(single[len(x) :])
    return Latency(
        samples=x.shape[1],
        steps=len(x),
        parallel_seconds=statistics.median(whole[1:]),
        step_seconds=statistics.median(single),
        step_seconds_99=single[int(0.99 * (len(single) - 1))],
    )


def _seconds(run: Callable[[], object], x: Tensor) -> float:
    started = time.perf_counter()
    run()
    _wait(x)
    return time.perf_counter() - started


def _wait(x: Tensor) -> None:
    """A GPU returns from a call before it has done the work."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
