"""The live display of a training run."""

import math
from collections.abc import Iterable

from rich.progress import BarColumn, Progress, TextColumn

from spikescan.cli.console import Console
from spikescan.cli.text import amount, duration
from spikescan.control import ControlStep
from spikescan.training import EpochEnd, Event, Notice, Step

__all__ = ["show"]


def show(console: Console, events: Iterable[Event | ControlStep], epochs: int) -> None:
    """Draw a bar over the whole run and print a line for each epoch; where there is no terminal, the lines alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None, numbers="")
        for event in events:
            match event:
                case Step() | ControlStep():
                    progress.update(
                        bar,
                        description=f"epoch {event.epoch}/{epochs}",
                        total=event.steps,
                        completed=event.step,
                        numbers=_numbers(event),
                    )
                case EpochEnd():
                    console.print(_epoch_line(event, epochs), highlight=False, soft_wrap=True)
                case Notice():
                    console.print(f"Note: {event.message}", highlight=False, soft_wrap=True)


def _numbers(step: Step | ControlStep) -> str:
    if isinstance(step, ControlStep):
        return (
            f"return {_figure(step.episode_return, '.4g')}  loss {_figure(step.loss, '.3g')}  firing {step.firing_rate:.3f}  "
            f"{step.steps_per_second:.0f} steps/s  {duration(step.seconds_left)} left"
        )
    return (
        f"loss {step.loss:.3f}  score {step.score:.4g}  firing {step.firing_rate:.3f}  "
        f"{amount(step.neuron_steps_per_second)} neuron-steps/s  {duration(step.seconds_left)} left"
    )


def _figure(value: float, form: str) -> str:
    """An epoch of random actions alone has no loss, one without an episode's end no return."""
    return "none yet" if math.isnan(value) else format(value, form)


def _epoch_line(end: EpochEnd, epochs: int) -> str:
    row = end.metrics
    parts = [
        f"{name.replace('_', ' ')} {_figure(value, '.4f')}"
        for name, value in row.items()
        if name.startswith(("train_", "valid"))
    ]
    return (
        f"epoch {end.epoch}/{epochs}  {'  '.join(parts)}  firing rate {row['firing_rate']:.3f}  "
        f"{amount(row['neuron_steps_per_second'])} neuron-steps/s  {duration(row['seconds'])}"
        f"{'  (best so far)' if end.is_best else ''}"
    )
