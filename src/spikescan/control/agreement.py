"""Whether the actor answers the same in parallel, as it is trained, and step by step, as it acts: measured, not assumed."""

from dataclasses import dataclass

import torch

from spikescan.control.play import play, seeds
from spikescan.control.run import ControlRun

__all__ = ["ActionAgreement", "action_agreement"]

_LARGEST = 1e-4


@dataclass(frozen=True)
class ActionAgreement:
    """The actions of whole episodes as they were taken, against one parallel run over all observations."""

    episodes: int
    steps: int
    differing: int
    """Steps with an action that differs by more than 1e-4; rounding explains less."""
    largest_difference: float
    """Of an action, which goes from -1 to 1."""

    @property
    def holds(self) -> bool:
        """At most 1e-4 of the actions differ: a spike within rounding of a threshold changes one."""
        return self.differing <= _LARGEST * self.steps

    def summary(self) -> str:
        """In a line."""
        return (
            f"{self.episodes:,} episodes of together {self.steps:,} steps: {self.differing:,} actions differ between acting "
            f"step by step and one parallel run over all observations, the largest difference is {self.largest_difference:.1e}"
        )


def action_agreement(run: ControlRun, episodes: int = 5) -> ActionAgreement:
    """Act through `episodes` test episodes and run the actor over what it saw, in parallel."""
    played = play(run.model, run.experiment, seeds("test", episodes))
    with torch.no_grad():
        parallel, _ = run.model(played.observations, None, played.lengths)
    valid = torch.arange(len(parallel)).unsqueeze(1) < played.lengths
    differences = (parallel - played.actions).abs().amax(-1)[valid]
    return ActionAgreement(episodes, int(valid.sum()), int((differences > _LARGEST).sum()), float(differences.max()))
