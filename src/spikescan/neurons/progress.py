"""Neurons that are another early in training than late: how they hear how far it is."""

from typing import Protocol, runtime_checkable

from torch import nn

__all__ = ["FollowsTraining", "follow_training"]


@runtime_checkable
class FollowsTraining(Protocol):
    """A neuron that changes while it is trained, by a schedule of its own; in evaluation it is what it is in the end."""

    def follow_training(self, passed: float) -> None:
        """Become what it is after this fraction of the updates, 0 to less than 1, whatever it was before."""


def follow_training(model: nn.Module, passed: float) -> None:
    """Tell all neurons of a model before an update which fraction of the updates of its training are done.

    The training loops do. Nothing of it has to be saved: it is a function of the number of updates alone.
    """
    for module in model.modules():
        if isinstance(module, FollowsTraining):
            module.follow_training(passed)
