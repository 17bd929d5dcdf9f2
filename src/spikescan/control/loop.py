"""A control run from its first to its last epoch."""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikescan.control.environment import Environment
from spikescan.control.events import ControlEvent, ControlStep
from spikescan.control.experiment import ControlExperiment
from spikescan.control.play import Evaluation, evaluate_policy, seeds
from spikescan.control.replay import Replay
from spikescan.control.run import build_agent, build_algorithm, check_same_experiment, shape_for
from spikescan.control.td3 import Learner
from spikescan.neurons.progress import follow_training
from spikescan.training import EpochEnd
from spikescan.training.checkpoint import Index, load_training_state, load_weights, read_index, save_checkpoint
from spikescan.training.measure import NeuronMeter, measure
from spikescan.training.metrics import read_metrics, write_metrics
from spikescan.training.run import check_new_folder, discard_measurements, epochs_kept, start_folder

__all__ = ["train"]

_STEPS_AN_EVENT = 50


def train(experiment: ControlExperiment, folder: Path, *, resume: bool = False) -> Iterator[ControlEvent]:
    """Train, save every epoch into `folder`, and tell what happens.

    Nothing runs until the events are asked for. Stopping between two of them, or Ctrl-C, loses the epoch under way and no
    other. An epoch begins with a new episode and draws its random numbers from the seed and its own number; with the
    experience saved beside the weights, a resumed run has the same bits as one that was never stopped.

    Args:
        experiment: what to train.
        folder: the run folder, made if need be.
        resume: go on after the last finished epoch in `folder`.

    Raises:
        InputError: something in `experiment` does not fit, or `folder` holds a run already and `resume` is not set.
        CheckpointError: the run in `folder` is damaged or of another network.
        NonFiniteError: a loss became NaN or infinite.
    """
    with closing(Environment(experiment.environment)) as environment:
        agent = build_agent(experiment, environment)
        options = build_algorithm(experiment)
        learner = Learner(agent, options)
        steps = experiment.epochs * experiment.epoch_steps
        replay = Replay(min(options.capacity, steps), environment.observations, environment.actions)
        if resume:
            check_same_experiment(folder, experiment)
        else:
            check_new_folder(folder)
        index = read_index(folder / "checkpoint") or Index(0, 0, 0, -math.inf, shape_for(environment))
        if index.epoch:
            load_weights(folder / "checkpoint", index.epoch, agent)
            saved = load_training_state(folder / "checkpoint", index.epoch)
            learner.load(saved["optimiser"])
            replay.load(saved["replay"])
        rows = [row for row in read_metrics(folder / "metrics.csv") if row["epoch"] <= index.epoch]
        start_folder(folder, experiment)
        while index.epoch < experiment.epochs:
            trained = yield from _run_epoch(experiment, environment, learner, replay, index.epoch + 1)
            found = evaluate_policy(agent.policy, experiment, seeds("validation", experiment.evaluation_episodes))
            index = index.after_epoch(experiment.epoch_steps, found.mean_return, loss=0.0)  # a policy has no loss
            rows.append(_row(index, trained, found))
            with epochs_kept(folder):
                write_metrics(folder / "metrics.csv", rows)
                discard_measurements(folder)
                state = {"optimiser": learner.state(), "replay": replay.state()}
                save_checkpoint(folder / "checkpoint", agent, state, index)
            yield EpochEnd(index.epoch, rows[-1], is_best=index.best_epoch == index.epoch)


@dataclass(frozen=True)
class _Trained:
    """Over one epoch."""

    episode_return: float
    """Mean over the episodes that were finished, with exploration; NaN if there was none."""
    loss: float
    """Mean over updates; NaN if there was none."""
    seconds: float
    neuron_steps: int


def _run_epoch(
    experiment: ControlExperiment, environment: Environment, learner: Learner, replay: Replay, epoch: int
) -> Generator[ControlEvent, None, _Trained]:
    """Act and learn for one epoch, counted from 1."""
    agent, options = learner.agent, learner.options
    steps, before = experiment.epoch_steps, (epoch - 1) * experiment.epoch_steps
    generator = _seed_epoch(experiment.seed, epoch)
    meter = NeuronMeter()
    losses, returns, this_return = [], [], 0.0
    started = time.perf_counter()
    observation, state = environment.reset(_mix(experiment.seed, epoch)), None
    agent.observe(observation)
    with measure(agent.actor, meter):
        for number in range(1, steps + 1):
            step = before + number
            if step <= options.start_steps:
                action = torch.rand(environment.actions, generator=generator) * 2.0 - 1.0
            else:
                action, state = _explore(learner, observation[environment.visible], state, generator)
            after, reward, terminated, truncated = environment.step(action)
            agent.observe(after)
            replay.add(observation, action, reward, after, terminated=terminated)
            this_return += reward
            observation = after
            if terminated or truncated or number == steps:
                replay.end_episode()
            if terminated or truncated:
                returns.append(this_return)
                observation, state, this_return = environment.reset(), None, 0.0
                agent.observe(observation)
            if step > options.start_steps and step % options.update_interval == 0:
                agent.policy.train()
                follow_training(agent, (step - 1) / (experiment.epochs * steps))
                losses.append(learner.update(replay.sample(options.batch_size, options.sequence, generator), generator))
            if number % _STEPS_AN_EVENT == 0 or number == steps:
                seconds = time.perf_counter() - started
                rates = meter.rates(meter.totals(torch.device("cpu")))
                yield ControlStep(
                    epoch=epoch,
                    step=step,
                    steps=experiment.epochs * steps,
                    episode_return=returns[-1] if returns else math.nan,
                    loss=_mean(losses),
                    firing_rate=sum(rates.values()) / max(len(rates), 1),
                    steps_per_second=number / seconds,
                    seconds_left=seconds / number * (experiment.epochs * steps - step),
                )
    return _Trained(_mean(returns), _mean(losses), time.perf_counter() - started, meter.neuron_steps)


@torch.no_grad()
def _explore(learner: Learner, visible: Tensor, state: object, generator: torch.Generator) -> tuple[Tensor, object]:
    """The actor's action with noise, and its state after it."""
    learner.agent.policy.eval()
    actions, state = learner.agent.policy.step(visible.unsqueeze(0), state)
    noise = torch.randn(actions.shape[1:], generator=generator) * learner.options.exploration_noise
    return (actions[0] + noise).clamp(-1.0, 1.0), state


def _seed_epoch(seed: int, epoch: int) -> torch.Generator:
    """Seed everything random of this epoch: a function of seed and epoch, so that nothing of it need be saved."""
    torch.manual_seed(_mix(seed, epoch))
    return torch.Generator().manual_seed(_mix(seed, epoch, 1))


def _mix(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _row(index: Index, trained: _Trained, found: Evaluation) -> dict[str, float]:
    rates = found.firing_rates
    return {
        "epoch": index.epoch,
        "step": index.step,
        "train_loss": trained.loss,
        "train_return": trained.episode_return,
        "validation_return": found.mean_return,
        "validation_deviation": found.deviation,
        "seconds": trained.seconds,
        "steps_per_second": (index.step / index.epoch) / trained.seconds,
        "neuron_steps_per_second": trained.neuron_steps / trained.seconds,
        "firing_rate": found.firing_rate,
        **{f"firing_rate.{layer}": rate for layer, rate in rates.items()},
    }
