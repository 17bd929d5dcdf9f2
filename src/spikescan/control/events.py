"""What a control run tells while it goes on, besides `EpochEnd` and `Notice` of `spikescan.training`."""

from dataclasses import dataclass

from spikescan.training import EpochEnd, Notice

__all__ = ["ControlEvent", "ControlStep"]


@dataclass(frozen=True)
class ControlStep:
    """Some steps in the environment were taken."""

    epoch: int
    """From 1."""
    step: int
    """Steps in the environment since the run began."""
    steps: int
    """Of the whole run."""
    episode_return: float
    """Of the last episode that was finished, with exploration; NaN before the first."""
    loss: float
    """Of the critics, mean over the epoch so far; NaN before the first update."""
    firing_rate: float
    """Spikes a neuron and time step of the network, in acting and learning."""
    steps_per_second: float
    """Steps in the environment, with the updates that go with them."""
    seconds_left: float


ControlEvent = ControlStep | EpochEnd | Notice
