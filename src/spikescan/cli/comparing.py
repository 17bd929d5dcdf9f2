"""The live display of a comparison."""

import time
from collections.abc import Iterable

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from spikescan.cli.console import Console
from spikescan.cli.text import duration
from spikescan.comparison import Trial
from spikescan.comparison.running import Advanced, Finished, Lost, Started
from spikescan.comparison.running import Progress as Told

__all__ = ["show"]


def show(console: Console, events: Iterable[Told], trials: list[Trial], left: list[Trial], workers: int) -> bool:
    """Draw a bar for each cell that runs and print a line for each that is done; tells whether one was lost.

    Where there is no terminal, the lines alone.
    """
    done, lost = len(trials) - len(left), False
    clock = _Clock(len(left), workers)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task("all cells", total=len(trials), completed=done, numbers="")
        bars: dict[str, TaskID] = {}
        for event in events:
            name = event.trial.name
            match event:
                case Started():
                    clock.start(name)
                    bars[name] = progress.add_task(name, total=None, numbers="")
                    if not console.is_terminal:
                        console.print(f"{name}: started", soft_wrap=True)
                case Advanced():
                    clock.advance(name, event.seconds_left)
                    progress.update(
                        bars[name],
                        total=event.steps,
                        completed=event.step,
                        numbers=f"{duration(event.seconds_left)} left",
                    )
                case Finished() | Lost():
                    clock.finish(name)
                    done += isinstance(event, Finished)
                    lost = lost or isinstance(event, Lost)
                    progress.remove_task(bars.pop(name))
                    console.print(f"{_line(event)}; {done} of {len(trials)} done", soft_wrap=True, markup=False)
            progress.update(whole, completed=done, numbers=f"{done} of {len(trials)}, {clock.left()}")
    return lost


def _line(event: Finished | Lost) -> str:
    name = event.trial.name
    if isinstance(event, Lost):
        return f"{name}: lost, {event.reason}"
    measured = event.outcome.measured
    if measured is None:
        return f"{name}: cannot be trained, {event.outcome.failure}"
    return (
        f"{name}: test {measured.score_name} {measured.test_score:.4f} (validation {measured.validation_score:.4f} at "
        f"epoch {measured.epoch}), trained for {duration(measured.wall_seconds)}"
    )


class _Clock:
    """How long is left: what the cells under way say, and for each that waits the mean of those that are done or under way."""

    def __init__(self, count: int, workers: int) -> None:
        self._open, self._workers = count, workers
        self._begun: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._took: list[float] = []

    def start(self, name: str) -> None:
        self._begun[name] = time.monotonic()

    def advance(self, name: str, seconds_left: float) -> None:
        self._left[name] = seconds_left

    def finish(self, name: str) -> None:
        self._open -= 1
        self._took.append(time.monotonic() - self._begun.pop(name))
        self._left.pop(name, None)

    def left(self) -> str:
        now = time.monotonic()
        guesses = [*self._took, *(now - self._begun[name] + left for name, left in self._left.items())]
        if not guesses:
            return ""
        waiting = self._open - len(self._left)
        seconds = (sum(self._left.values()) + waiting * sum(guesses) / len(guesses)) / self._workers
        return f"about {duration(seconds)} left"
