"""What a training run tells while it goes on."""

from dataclasses import dataclass

__all__ = ["EpochEnd", "Event", "Notice", "Step"]


@dataclass(frozen=True)
class Step:
    """An update was made. Loss, score and firing rate are means over the epoch so far, of this process's samples."""

    epoch: int
    """From 1."""
    step: int
    """Updates made in the whole run, this one included."""
    steps: int
    """Updates of the whole run, if it is not stopped early."""
    loss: float
    score: float
    firing_rate: float
    """Spikes a neuron and time step."""
    neuron_steps_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class EpochEnd:
    """An epoch is finished and saved."""

    epoch: int
    metrics: dict[str, float]
    """The row of ``metrics.csv``."""
    is_best: bool
    """Whether its validation score is the best so far."""


@dataclass(frozen=True)
class Notice:
    """Something the user should know."""

    message: str


Event = Step | EpochEnd | Notice
