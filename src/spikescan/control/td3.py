"""TD3 (Fujimoto, van Hoof & Meger, ICML 2018) on sequences: the actor runs over all steps of a sequence in parallel."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from spikescan.control.actors import perceptron
from spikescan.control.normaliser import RunningNorm
from spikescan.control.replay import Sequences
from spikescan.errors import InputError
from spikescan.layers import Sequential
from spikescan.neurons.base import Temporal
from spikescan.training import NonFiniteError

__all__ = ["TD3", "Agent", "Critics", "Learner", "bootstrap"]


@dataclass(frozen=True)
class TD3:
    """The options of TD3; the defaults are those of the spiking actors in the literature (PopSAN, ILC-SAN).

    Args:
        actor_lr: learning rate of the actor (Adam).
        critic_lr: learning rate of the critics (Adam).
        discount: of a reward one step later.
        polyak: what a target network keeps of itself at an update of the actor.
        reward_scale: what rewards are multiplied by in learning; returns that are shown are not.
        batch_size: sequences an update.
        sequence: steps in a sequence, each from the neurons at rest; 1 for an actor without memory. The episode's length makes
            the gradient that of the whole episode; a shorter sequence is run as if the actor had been reset at its start.
        burn_in: first steps of a sequence that teach nothing, where it does not begin with the episode.
        exploration_noise: deviation of the noise on actions taken, which go from -1 to 1.
        target_noise: deviation of the noise on the target actor's actions.
        noise_clip: largest noise on these.
        policy_delay: updates of the critics for one of the actor.
        update_interval: steps in the environment for one update.
        start_steps: first steps of a run with random actions and without updates.
        capacity: steps kept to learn from.
        critic_hidden: units in each hidden layer of a critic.
        clip_norm: longest gradient of the actor; null does not clip.
    """

    actor_lr: float = 1e-4
    critic_lr: float = 1e-3
    discount: float = 0.99
    polyak: float = 0.995
    reward_scale: float = 1.0
    batch_size: int = 100
    sequence: int = 1
    burn_in: int = 0
    exploration_noise: float = 0.1
    target_noise: float = 0.2
    noise_clip: float = 0.5
    policy_delay: int = 2
    update_interval: int = 1
    start_steps: int = 1000
    capacity: int = 1_000_000
    critic_hidden: Sequence[int] = (256, 256)
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "sequence", "policy_delay", "update_interval", "start_steps", "capacity"):
            if getattr(self, name) < 1:
                raise InputError(f"td3: {name} is {getattr(self, name)}, expected at least 1.")
        for name in ("actor_lr", "critic_lr"):
            if not getattr(self, name) >= 0.0:  # NaN too
                raise InputError(f"td3: {name} is {getattr(self, name)}, expected 0 or more.")
        if self.capacity < self.sequence:
            raise InputError(f"td3: capacity is {self.capacity}, expected at least sequence = {self.sequence}.")
        for name in ("discount", "polyak"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"td3: {name} is {getattr(self, name)}, expected 0 to 1.")
        if not 0 <= self.burn_in < self.sequence:
            raise InputError(f"td3: burn_in is {self.burn_in}, expected 0 to less than sequence = {self.sequence}.")


class Agent(nn.Module):
    """The networks of TD3.

    Args:
        actor: from the observations that it gets, normalised, to actions.
        visible: which columns of an observation these are.
        observations: channels of a whole observation, which the critics get.
        actions: channels of an action.
        hidden: units in each hidden layer of a critic.
    """

    def __init__(
        self, actor: Temporal, visible: Sequence[int], observations: int, actions: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.visible = list(visible)
        self.policy = Sequential({"normaliser": RunningNorm(len(self.visible)), "actor": actor})
        self.critics = Critics(observations, actions, hidden)
        self.normaliser = RunningNorm(observations)
        self.target_actor = deepcopy(actor).requires_grad_(False)
        self.target_critics = deepcopy(self.critics).requires_grad_(False)

    @property
    def actor(self) -> Temporal:
        """What learns, without the normaliser before it."""
        return self.policy.parts["actor"]

    def observe(self, observation: Tensor) -> None:
        """Let the normalisers see an observation ``[observations]``."""
        self.normaliser.observe(observation)
        cast(RunningNorm, self.policy.parts["normaliser"].module).observe(observation[self.visible])

    def seen(self, observations: Tensor) -> Tensor:
        """What the actor sees of normalised observations ``[*, observations]``."""
        return observations[..., self.visible]


class Critics(nn.Module):
    """Two critics side by side: values of actions in states, ``[*, O]`` and ``[*, A]`` to ``[2, *]``.

    They are perceptrons with weights of their own, multiplied as one batch: half the calls of two modules.
    """

    def __init__(self, observations: int, actions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        pair = [perceptron(observations + actions, hidden, 1)[::2] for _ in range(2)]
        layers = list(zip(*pair, strict=True))
        self.weights = nn.ParameterList([torch.stack([layer.weight.detach().T for layer in both]) for both in layers])
        self.biases = nn.ParameterList([torch.stack([layer.bias.detach()[None] for layer in both]) for both in layers])

    def forward(self, observations: Tensor, actions: Tensor, critics: int = 2) -> Tensor:
        """The values by the first so many critics, ``[critics, *]``."""
        x = torch.cat([observations, actions], -1)
        rows = x.flatten(0, -2).expand(critics, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            rows = torch.baddbmm(bias[:critics], torch.relu(rows) if index else rows, weight[:critics])
        return rows.view(critics, *x.shape[:-1])


def bootstrap(rewards: Tensor, terminated: Tensor, next_values: Tensor, discount: float) -> Tensor:
    """The critics' targets, Algorithm 1 of TD3: y = r + discount (1 - terminated) min_i Q'_i(s', a')."""
    return rewards + discount * (1.0 - terminated) * next_values.amin(0)


class Learner:
    """Updates of an agent.

    Args:
        agent: its networks change in place.
        options: of TD3.
    """

    def __init__(self, agent: Agent, options: TD3) -> None:
        self.agent = agent
        self.options = options
        self.updates = 0
        self._actor_parameters = list(agent.actor.parameters())
        self._targets = [
            (target, source)
            for averaged, learnt in ((agent.target_actor, agent.actor), (agent.target_critics, agent.critics))
            for target, source in zip(averaged.parameters(), learnt.parameters(), strict=True)
        ]
        self._actor_optimiser = torch.optim.Adam(self._actor_parameters, lr=options.actor_lr, fused=True)
        self._critic_optimiser = torch.optim.Adam(agent.critics.parameters(), lr=options.critic_lr, fused=True)

    def update(self, batch: Sequences, generator: torch.Generator) -> float:
        """One update of the critics, and at every `policy_delay`-th of the actor; returns the critics' loss."""
        agent = self.agent
        # One run of the target actor over s_1 .. s_T, s_{T+1} answers for all next observations.
        before, after = agent.normaliser(batch.observations), agent.normaliser(batch.next_observations)
        weights = self._weights(batch)
        with torch.no_grad():
            noise = torch.randn(batch.actions.shape, generator=generator) * self.options.target_noise
            actions, _ = agent.target_actor(agent.seen(torch.cat([before[:1], after])), None, _more(batch, 1))
            noisy = (actions[1:] + noise.clamp(-self.options.noise_clip, self.options.noise_clip)).clamp(-1.0, 1.0)
            values = agent.target_critics(after, noisy)
            targets = bootstrap(
                self.options.reward_scale * batch.rewards, batch.terminated, values, self.options.discount
            )
        errors: Tensor = agent.critics(before, batch.actions) - targets
        loss = (weights * errors.square().sum(0)).sum()
        if not loss.isfinite():
            raise NonFiniteError(f"The critics' loss is {loss.item()} at update {self.updates + 1}; lower critic_lr.")
        self._critic_optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._critic_optimiser.step()
        self.updates += 1
        if self.updates % self.options.policy_delay == 0:
            self._update_actor(before, batch, weights)
        return loss.item()

    def _update_actor(self, before: Tensor, batch: Sequences, weights: Tensor) -> None:
        agent = self.agent
        actions, _ = agent.actor(agent.seen(before), None, _more(batch, 0))
        loss = -(weights * agent.critics(before, actions, critics=1)[0]).sum()
        gradients = torch.autograd.grad(loss, self._actor_parameters, allow_unused=True)
        for parameter, gradient in zip(self._actor_parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._actor_parameters, self.options.clip_norm)
        self._actor_optimiser.step()
        with torch.no_grad():
            for target, source in self._targets:
                target.lerp_(source, 1.0 - self.options.polyak)

    def _weights(self, batch: Sequences) -> Tensor:
        """What each step ``[T, B]`` counts; the sum is 1."""
        steps = torch.arange(len(batch.rewards)).unsqueeze(1)
        burnt = torch.where(batch.starts == 0, 0, self.options.burn_in)
        # A piece that ends within its burn-in teaches nothing; if all do, nothing is divided by 1.
        weights = ((steps >= burnt) & (steps < batch.lengths)).float()
        return weights / weights.sum().clamp(min=1.0)

    def state(self) -> dict[str, Any]:
        """The optimisers, and how many updates were made."""
        return {
            "actor": self._actor_optimiser.state_dict(),
            "critics": self._critic_optimiser.state_dict(),
            "updates": self.updates,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._actor_optimiser.load_state_dict(state["actor"])
        self._critic_optimiser.load_state_dict(state["critics"])
        self.updates = state["updates"]


def _more(batch: Sequences, steps: int) -> Tensor | None:
    """The lengths and so many steps; None where all sequences are whole."""
    return None if bool((batch.lengths == len(batch.rewards)).all()) else batch.lengths + steps
