"""The learning rate over a run: a factor on its peak for each fraction of the run that has passed."""

import math
from collections.abc import Callable

from spikescan.errors import InputError
from spikescan.names import choose_named

__all__ = ["Schedule", "constant", "cosine", "list_schedules", "one_cycle", "schedule_maker"]

Schedule = Callable[[float], float]
"""From the fraction of the run that has passed, 0 to 1, to the factor."""


def one_cycle(*, warmup: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Schedule:
    """Up from `start` to 1 over the fraction `warmup` and down to `end`, both as a half cosine (Smith & Topin 2019)."""
    _check_warmup(warmup)

    def factor(passed: float) -> float:
        if passed < warmup:
            return _half_cosine(start, 1.0, passed / warmup)
        return _half_cosine(1.0, end, (passed - warmup) / (1.0 - warmup))

    return factor


def cosine(*, warmup: float = 0.05, end: float = 0.0) -> Schedule:
    """Linearly up to 1 over the fraction `warmup`, then down to `end` as a half cosine."""
    _check_warmup(warmup)

    def factor(passed: float) -> float:
        if passed < warmup:
            return passed / warmup
        return _half_cosine(1.0, end, (passed - warmup) / (1.0 - warmup))

    return factor


def constant(*, warmup: float = 0.0) -> Schedule:
    """Linearly up to 1 over the fraction `warmup`, then 1."""
    _check_warmup(warmup)
    return lambda passed: passed / warmup if passed < warmup else 1.0


def list_schedules() -> list[str]:
    """The names that `schedule_maker` knows."""
    return sorted(_SCHEDULES)


def schedule_maker(name: str) -> Callable[..., Schedule]:
    """The function that makes the schedule `name`; its keyword arguments are the options."""
    return choose_named("schedule", _SCHEDULES, name)


def _half_cosine(start: float, end: float, passed: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * min(passed, 1.0))) / 2.0


def _check_warmup(warmup: float) -> None:
    if not 0.0 <= warmup < 1.0:
        raise InputError(f"warmup is {warmup}, expected a fraction of the run, at least 0 and below 1.")


_SCHEDULES: dict[str, Callable[..., Schedule]] = {"constant": constant, "cosine": cosine, "one_cycle": one_cycle}
