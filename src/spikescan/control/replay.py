"""What was experienced, and sequences of it to learn from."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Replay", "Sequences"]


@dataclass(frozen=True)
class Sequences:
    """Consecutive steps out of episodes, time first; beyond `lengths` the rows are of no meaning."""

    observations: Tensor
    """``[T, B, O]``"""
    actions: Tensor
    """``[T, B, A]``"""
    rewards: Tensor
    """``[T, B]``"""
    next_observations: Tensor
    """``[T, B, O]``"""
    terminated: Tensor
    """``[T, B]``, 1 where the next observation is a terminal state; not where time ran out."""
    lengths: Tensor
    """int64 ``[B]``, at least 1."""
    starts: Tensor
    """int64 ``[B]``, the step of the episode that a sequence begins at."""


class Replay:
    """The last `capacity` steps.

    Args:
        capacity: steps; the oldest make room.
        observations: channels of an observation.
        actions: channels of an action.
    """

    def __init__(self, capacity: int, observations: int, actions: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._episode = 0
        self._step = 0
        self._rows = {
            "observations": torch.zeros(capacity, observations),
            "actions": torch.zeros(capacity, actions),
            "rewards": torch.zeros(capacity),
            "next_observations": torch.zeros(capacity, observations),
            "terminated": torch.zeros(capacity),
            "episode": torch.full((capacity,), -1, dtype=torch.int64),
            "step": torch.zeros(capacity, dtype=torch.int64),
        }

    def add(self, observation: Tensor, action: Tensor, reward: float, after: Tensor, *, terminated: bool) -> None:
        """Keep one step."""
        values = (observation, action, reward, after, float(terminated), self._episode, self._step)
        for rows, value in zip(self._rows.values(), values, strict=True):
            rows[self._next] = value  # type: ignore[assignment]  # a tensor or a number
        self._next = (self._next + 1) % self.capacity
        self._step += 1
        self.size = min(self.size + 1, self.capacity)

    def end_episode(self) -> None:
        """What is added next begins another episode."""
        self._episode += 1
        self._step = 0

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Sequences:
        """Sequences, each step as likely as any other.

        Episodes are cut into pieces of `length` steps, the last as long as it is, of which any is as likely as any other. An
        episode of at most `length` steps so is one sequence from its start, and `length` 1 draws single steps.
        """
        steps, episodes = self._rows["step"], self._rows["episode"]
        begins = torch.arange(self.size) if length == 1 else (steps[: self.size] % length == 0).nonzero().squeeze(1)
        first = begins[torch.randint(len(begins), (batch_size,), generator=generator)]
        offsets = torch.arange(length).unsqueeze(1)
        rows = (first + offsets) % self.capacity
        starts = steps[first]
        # Beyond the end of the episode, or of what was written, come steps of others.
        valid = (episodes[rows] == episodes[first]) & (steps[rows] == starts + offsets)
        values = {name: column[rows] for name, column in self._rows.items() if name not in ("episode", "step")}
        return Sequences(**values, lengths=valid.sum(0), starts=starts)

    def state(self) -> dict[str, Tensor]:
        """All that `load` needs."""
        counters = torch.tensor([self.size, self._next, self._episode, self._step])
        return {"counters": counters} | {name: rows[: self.size].clone() for name, rows in self._rows.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.size, self._next, self._episode, self._step = state["counters"].tolist()
        for name, rows in self._rows.items():
            rows[: self.size] = state[name]
        if self.size < self.capacity:
            self._next = self.size  # a longer run has a larger capacity than the one that was saved
