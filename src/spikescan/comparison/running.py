"""Trials run to their end, one after the other or several at once, and what is told meanwhile."""

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from spikescan import ops
from spikescan.comparison.experiments import differences, read_any
from spikescan.comparison.outcome import (
    Measured,
    Outcome,
    find_outcome,
    outcome_path,
    write_outcome,
)
from spikescan.comparison.plan import Trial
from spikescan.comparison.work import train_and_measure
from spikescan.control import ControlStep
from spikescan.errors import BackendError, CheckpointError, DataError, InputError
from spikescan.training import Step
from spikescan.training.run import read_config

__all__ = ["Advanced", "Finished", "Folders", "Lost", "Progress", "Started", "run_trials", "still_to_do"]

_TELLS_EVERY = 0.5
"""Seconds between two reports of one trial."""


@dataclass(frozen=True)
class Folders:
    """Where a comparison keeps what.

    Args:
        output: the results folder: ``cells/NAME.json``.
        runs: of the run folders.
        keep: whether a run folder stays when its trial is done.
    """

    output: Path
    runs: Path
    keep: bool

    def run(self, trial: Trial) -> Path:
        """The run folder of a trial."""
        return self.runs / trial.name


@dataclass(frozen=True)
class Started:
    """A trial began, or went on after its last finished epoch."""

    trial: Trial


@dataclass(frozen=True)
class Advanced:
    """An update was made."""

    trial: Trial
    step: int
    steps: int
    seconds_left: float


@dataclass(frozen=True)
class Finished:
    """A trial is done and its file written."""

    trial: Trial
    outcome: Outcome


@dataclass(frozen=True)
class Lost:
    """A trial's process ended without an answer: killed, or by a fault. No file is written: it is run another time."""

    trial: Trial
    reason: str


Progress = Started | Advanced | Finished | Lost


def still_to_do(trials: list[Trial], folders: Folders, *, again: bool) -> list[Trial]:
    """The trials without an outcome.

    Args:
        trials: all.
        folders: where to look.
        again: also those that failed, and those whose file or run folder is of another experiment; what is there is dropped.

    Raises:
        InputError: a file or a run folder is of another experiment, and not `again`.
    """
    return [trial for trial in trials if _is_open(trial, folders, again)]


def _is_open(trial: Trial, folders: Folders, again: bool) -> bool:
    try:
        outcome = find_outcome(folders.output, trial)
        if outcome is None:
            _check_run(trial, folders.run(trial))
    except InputError:
        if not again:
            raise
        outcome_path(folders.output, trial).unlink(missing_ok=True)
        shutil.rmtree(folders.run(trial), ignore_errors=True)
        return True
    return outcome is None or (again and outcome.measured is None)


def _check_run(trial: Trial, folder: Path) -> None:
    """Raise `InputError` if the folder holds an unfinished run of another experiment."""
    config = folder / "config.yaml"
    if config.exists() and (words := differences(read_any(read_config(folder), str(config)), trial.experiment)):
        raise InputError(
            f"{folder} holds an unfinished run of another experiment than {trial.name} of this comparison: {words}. Name "
            f"another folder, --output FOLDER, or let it be replaced, --again."
        )


def run_trials(
    trials: list[Trial], folders: Folders, *, workers: int = 1, until: float | None = None
) -> Generator[Progress, None, None]:
    """Run trials in their order; each that is done leaves its file.

    Nothing runs until the events are asked for. Stopping between two of them, or Ctrl-C, loses the epochs under way alone.

    Args:
        trials: from `still_to_do`.
        folders: where files and run folders go.
        workers: how many at once. One runs in this process; more run in processes of their own, which share out the cores.
        until: starts none after this time of `time.monotonic`; None starts all.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}, expected at least 1.")
    if workers > 1:
        yield from _run_in_processes(trials, folders, workers, until)
        return
    for trial in trials:
        if _is_late(until):
            return
        yield Started(trial)
        yield from _run(trial, folders)


def _is_late(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


def _run(trial: Trial, folders: Folders) -> Iterator[Advanced | Finished]:
    """Run one trial in this process."""
    if trial.impossible:
        outcome = Outcome(trial, None, trial.impossible)
    else:
        try:
            outcome = Outcome(trial, (yield from _advance(trial, folders.run(trial))))
        except (DataError, CheckpointError):
            raise  # no fault of this trial
        except (InputError, BackendError, torch.OutOfMemoryError) as error:
            outcome = Outcome(trial, None, " ".join(str(error).split()))
    write_outcome(folders.output, outcome)
    if not folders.keep:
        shutil.rmtree(folders.run(trial), ignore_errors=True)
    yield Finished(trial, outcome)


def _advance(trial: Trial, folder: Path) -> Generator[Advanced, None, Measured]:
    """What training tells, now and then; its outcome."""
    told = -_TELLS_EVERY
    work = train_and_measure(trial.experiment, folder)
    with closing(work):
        while True:
            try:
                event = next(work)
            except StopIteration as stop:
                measured: Measured = stop.value
                return measured
            if isinstance(event, Step | ControlStep) and time.monotonic() - told >= _TELLS_EVERY:
                told = time.monotonic()
                yield Advanced(trial, event.step, event.steps, event.seconds_left)


def _run_in_processes(trials: list[Trial], folders: Folders, workers: int, until: float | None) -> Iterator[Progress]:
    """A process a trial: what one leaves behind, or dies of, touches no other."""
    # spawn: the threads of this process do not survive a fork.
    context = multiprocessing.get_context("spawn")
    threads = max(1, _cores() // workers)
    waiting = list(trials)
    running: dict[Connection, tuple[Trial, SpawnProcess]] = {}
    try:
        while running or (waiting and not _is_late(until)):
            while waiting and len(running) < workers and not _is_late(until):
                trial = waiting.pop(0)
                if trial.impossible:
                    yield Started(trial)
                    yield from _run(trial, folders)
                    continue
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(trial, folders, threads, there), daemon=True)
                process.start()
                there.close()
                running[here] = trial, process
                yield Started(trial)
            for connection in wait(list(running), timeout=1.0):
                assert isinstance(connection, Connection)
                trial, process = running[connection]
                try:
                    event = connection.recv()
                except EOFError:
                    process.join()
                    del running[connection]
                    yield Lost(trial, f"its process ended with exit code {process.exitcode}")
                    continue
                if not isinstance(event, Advanced):
                    process.join()
                    del running[connection]
                yield event
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _work(trial: Trial, folders: Folders, threads: int, answers: Connection) -> None:
    """What a process does: run one trial and send what it tells."""
    torch.set_num_threads(threads)
    ops.retain_freed_memory()
    with closing(answers):
        try:
            for event in _run(trial, folders):
                answers.send(event)
        except (KeyboardInterrupt, BrokenPipeError):
            return
        except Exception as error:
            answers.send(Lost(trial, f"{type(error).__name__}: {error}"))


def _cores() -> int:
    """Those that this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
