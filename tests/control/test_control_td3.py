"""TD3 against Algorithm 1 of its paper, transcribed."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from spikescan import DSN
from spikescan.control.normaliser import RunningNorm
from spikescan.control.population import PopulationActor
from spikescan.control.replay import Sequences
from spikescan.control.td3 import TD3, Agent, Critics, Learner, bootstrap
from spikescan.errors import InputError


def agent(memory: bool = False) -> Agent:
    torch.manual_seed(0)
    actor = PopulationActor(2, 1, neuron=DSN, hidden=[6], population=4, micro_steps=2, memory=memory)
    made = Agent(actor, [0, 2], 3, 1, [5, 4])
    for observation in torch.randn(20, 3):
        made.observe(observation)
    return made


def sequences(steps: int, lengths: list[int], starts: list[int] | None = None) -> Sequences:
    random = torch.Generator().manual_seed(1)
    observations = torch.randn(steps + 1, len(lengths), 3, generator=random)
    return Sequences(
        observations=observations[:-1],
        actions=torch.rand(steps, len(lengths), 1, generator=random) * 2 - 1,
        rewards=torch.randn(steps, len(lengths), generator=random),
        next_observations=observations[1:].clone(),
        terminated=(torch.rand(steps, len(lengths), generator=random) < 0.3).float(),
        lengths=torch.tensor(lengths),
        starts=torch.tensor(starts or [0] * len(lengths)),
    )


def perceptrons(critics: Critics) -> list[nn.Sequential]:
    """The two critics as ordinary modules."""
    made = []
    for index in range(2):
        layers: list[nn.Module] = []
        for weight, bias in zip(critics.weights, critics.biases, strict=True):
            linear = nn.Linear(weight.shape[1], weight.shape[2])
            linear.weight = nn.Parameter(weight[index].detach().T.clone())
            linear.bias = nn.Parameter(bias[index, 0].detach().clone())
            layers += [linear, nn.ReLU()]
        made.append(nn.Sequential(*layers[:-1]))
    return made


def test_the_target_bootstraps_from_the_lesser_critic_unless_the_state_is_terminal():
    rewards, terminated = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0])
    first, second = np.array([10.0, 20.0, -5.0]), np.array([12.0, -7.0, -6.0])
    expected = [1.0 + 0.9 * 10.0, 2.0, 3.0 + 0.9 * -6.0]
    values = torch.tensor(np.stack([first, second]))
    np.testing.assert_allclose(bootstrap(torch.tensor(rewards), torch.tensor(terminated), values, 0.9), expected)


def test_two_critics_side_by_side_are_two_perceptrons():
    critics = Critics(3, 1, [5, 4])
    observations, actions = torch.randn(7, 2, 3), torch.randn(7, 2, 1)
    expected = [one(torch.cat([observations, actions], -1)).squeeze(-1) for one in perceptrons(critics)]
    torch.testing.assert_close(critics(observations, actions), torch.stack(expected))
    torch.testing.assert_close(critics(observations, actions, critics=1)[0], expected[0])


@pytest.mark.parametrize("memory", [False, True])
def test_an_update_is_algorithm_1(memory):
    """Sample by sample and step by step, with plain modules and torch's own Adam."""
    options = TD3(policy_delay=1, sequence=4, reward_scale=0.5, burn_in=1, actor_lr=1e-2, critic_lr=1e-2, polyak=0.9)
    learner = Learner(agent(memory), options)
    plain = copy.deepcopy(learner.agent)
    batch = sequences(4, [4, 2, 3], [0, 4, 0])
    learner.update(batch, torch.Generator().manual_seed(2))

    critics, target_critics = perceptrons(plain.critics), perceptrons(plain.target_critics)
    noise = torch.randn(4, 3, 1, generator=torch.Generator().manual_seed(2)).mul(0.2).clamp(-0.5, 0.5)
    steps = [(t, b) for b in range(3) for t in range(int(batch.lengths[b])) if batch.starts[b] == 0 or t >= 1]
    assert len(steps) == 8

    def act(actor: PopulationActor, b: int, until: int, *, after: bool) -> torch.Tensor:
        """The action for the observation of step `until`, or for the one after it, with memory of the piece so far."""
        seen = [batch.observations[t, b] for t in range(until + 1)] + [batch.next_observations[until, b]] * after
        state = None
        for observation in seen:
            action, state = actor.step(plain.normaliser(observation)[[0, 2]].unsqueeze(0), state)
        return action[0]

    def value(critic: nn.Module, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return critic(torch.cat([plain.normaliser(observation), action]))[0]

    loss = torch.zeros(())
    for t, b in steps:
        with torch.no_grad():
            later = (act(plain.target_actor, b, t, after=True) + noise[t, b]).clamp(-1.0, 1.0)
            lesser = min(value(critic, batch.next_observations[t, b], later) for critic in target_critics)
            target = 0.5 * batch.rewards[t, b] + 0.99 * (1 - batch.terminated[t, b]) * lesser
        loss = loss + sum((value(c, batch.observations[t, b], batch.actions[t, b]) - target) ** 2 for c in critics)
    (loss / len(steps)).backward()
    torch.optim.Adam([p for c in critics for p in c.parameters()], lr=1e-2).step()
    for index, critic in enumerate(perceptrons(learner.agent.critics)):
        for found, expected in zip(critic.parameters(), critics[index].parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    gain = sum(value(critics[0], batch.observations[t, b], act(plain.actor, b, t, after=False)) for t, b in steps)
    plain.actor.zero_grad()
    (-gain / len(steps)).backward()
    before = copy.deepcopy(plain.actor)
    torch.optim.Adam(plain.actor.parameters(), lr=1e-2).step()
    for name, expected in plain.actor.named_parameters():
        found = dict(learner.agent.actor.named_parameters())[name]
        # Adam's first step is the sign of the gradient: where that is rounding alone, either sign is right.
        sure = expected.grad.abs() > 1e-6
        torch.testing.assert_close(found[sure], expected[sure], rtol=1e-4, atol=1e-5)
        averaged = 0.9 * dict(before.named_parameters())[name] + 0.1 * found
        torch.testing.assert_close(dict(learner.agent.target_actor.named_parameters())[name], averaged)


def test_the_actor_waits_for_the_critics():
    learner = Learner(agent(), TD3(policy_delay=2))
    before = copy.deepcopy(learner.agent.actor.state_dict())
    batch, generator = sequences(1, [1, 1]), torch.Generator().manual_seed(0)
    learner.update(batch, generator)
    assert all(torch.equal(before[name], now) for name, now in learner.agent.actor.state_dict().items())
    learner.update(batch, generator)
    assert not all(torch.equal(before[name], now) for name, now in learner.agent.actor.state_dict().items())


def test_what_lies_beyond_an_episode_teaches_nothing():
    found = []
    for filler in (0.0, 1e6):
        learner = Learner(agent(memory=True), TD3(policy_delay=1, sequence=4))
        batch = sequences(4, [2, 3])
        for values in (batch.observations, batch.next_observations, batch.rewards):
            values[3:, :] = filler
            values[2:, 0] = filler
        learner.update(batch, torch.Generator().manual_seed(0))
        found.append([p.grad for part in (learner.agent.critics, learner.agent.actor) for p in part.parameters()])
    assert len(found[0]) > 10
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_the_running_norm_is_that_of_all_it_saw():
    norm, x = RunningNorm(3), torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 2 + 5
    torch.testing.assert_close(norm(x), x.clamp(-3, 3) * 0 + (x / 1e-3).clamp(-3, 3))  # nothing was seen
    for row in x:
        norm.observe(row)
    expected = ((x - x.mean(0)) / x.std(0, correction=0)).clamp(-3, 3)
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-5)


def test_wrong_options():
    for options, message in (
        ({"batch_size": 0}, "td3: batch_size is 0"),
        ({"actor_lr": -1.0}, "td3: actor_lr is -1.0, expected 0 or more"),
        ({"discount": 1.5}, "td3: discount is 1.5, expected 0 to 1"),
        ({"sequence": 5, "burn_in": 5}, "td3: burn_in is 5, expected 0 to less than sequence = 5"),
        ({"sequence": 9, "capacity": 8}, "td3: capacity is 8, expected at least sequence = 9"),
    ):
        with pytest.raises(InputError, match=message):
            TD3(**options)
