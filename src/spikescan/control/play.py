"""Whole episodes without exploration, several at once."""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from spikescan.control.environment import Environment
from spikescan.control.experiment import ControlExperiment
from spikescan.errors import InputError
from spikescan.neurons.base import Temporal
from spikescan.training.measure import NeuronMeter, measure

if TYPE_CHECKING:
    from spikescan.control.run import ControlRun

__all__ = ["Episodes", "Evaluation", "evaluate", "play", "seeds"]

_STREAMS = {"validation": 1, "test": 2}


@dataclass(frozen=True)
class Episodes:
    """What happened in B episodes."""

    observations: Tensor
    """``[T, B, C]``, what the actor was shown; beyond `lengths` the last of the episode."""
    actions: Tensor
    """``[T, B, A]``"""
    lengths: Tensor
    """int64 ``[B]``"""
    returns: Tensor
    """float64 ``[B]``, the sums of rewards."""


@dataclass(frozen=True)
class Evaluation:
    """Of an actor over some episodes."""

    returns: list[float]
    """Sum of rewards, by episode."""
    mean_return: float
    deviation: float
    """Of the returns, over episodes."""
    steps: int
    """In the environment, over all episodes."""
    firing_rates: dict[str, float]
    """Spikes a neuron and time step, by layer, until each episode's end."""

    @property
    def firing_rate(self) -> float:
        """Mean over layers; 0 for an actor without spikes."""
        return sum(self.firing_rates.values()) / max(len(self.firing_rates), 1)


def evaluate(run: "ControlRun", *, episodes: int = 20, split: str = "test") -> Evaluation:
    """Let the actor of a run act without exploration.

    Args:
        run: see `load_run`.
        episodes: how many.
        split: "test", or "validation" for the episodes by which the best epoch was chosen. The two start from different seeds,
            which are the same for every run.
    """
    return evaluate_policy(run.model, run.experiment, seeds(split, episodes))


def evaluate_policy(policy: Temporal, experiment: ControlExperiment, given: list[int]) -> Evaluation:
    """As `evaluate`, from these seeds."""
    played = play(policy, experiment, given)
    returns = played.returns
    return Evaluation(
        returns=returns.tolist(),
        mean_return=float(returns.mean()),
        deviation=float(returns.std(correction=0)),
        steps=int(played.lengths.sum()),
        firing_rates=_firing_rates(policy, played),
    )


@torch.no_grad()
def _firing_rates(policy: Temporal, played: Episodes) -> dict[str, float]:
    """Of a parallel run over each episode: `measure` does not see the steps of a neuron, and `play` goes on after an end."""
    was_training = policy.training
    policy.eval()
    meter = NeuronMeter()
    with measure(policy, meter):
        for episode, length in enumerate(played.lengths.tolist()):
            policy(played.observations[:length, episode : episode + 1])
    policy.train(was_training)
    return meter.rates(meter.totals(played.observations.device))


def seeds(split: str, episodes: int) -> list[int]:
    """The seeds of the episodes of a split.

    Raises:
        InputError: no episodes are asked for, or there is no such split.
    """
    if episodes < 1:
        raise InputError(f"episodes is {episodes}, expected at least 1.")
    if split not in _STREAMS:
        raise InputError(f"There are no episodes of the split {split!r}, expected one of {', '.join(_STREAMS)}.")
    return [int(seed) for seed in np.random.SeedSequence(_STREAMS[split]).generate_state(episodes)]


@torch.no_grad()
def play(policy: Temporal, experiment: ControlExperiment, given: list[int]) -> Episodes:
    """One episode from each seed, all at once: a batch of streams through `step` with carried state."""
    was_training = policy.training
    policy.eval()
    with ExitStack() as stack:
        environments = [stack.enter_context(closing(Environment(experiment.environment))) for _ in given]
        visible = environments[0].visible
        now = torch.stack([env.reset(seed)[visible] for env, seed in zip(environments, given, strict=True)])
        running = [True] * len(given)
        returns = torch.zeros(len(given), dtype=torch.float64)
        lengths = torch.zeros(len(given), dtype=torch.int64)
        seen, acted, state = [], [], None
        while any(running):
            actions, state = policy.step(now, state)
            seen.append(now)
            acted.append(actions)
            now = now.clone()
            for index, env in enumerate(environments):
                if running[index]:
                    observation, reward, terminated, truncated = env.step(actions[index])
                    now[index] = observation[visible]
                    returns[index] += reward
                    lengths[index] += 1
                    running[index] = not (terminated or truncated)
    policy.train(was_training)
    return Episodes(torch.stack(seen), torch.stack(acted), lengths, returns)
