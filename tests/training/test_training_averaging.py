"""Averaged weights: what they are, that they are what is saved, and that training goes on from its own."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spikescan.training import EpochEnd, train
from spikescan.training.averaging import AveragedWeights


def walk(network: nn.Module, average: AveragedWeights, steps: int, seed: int = 0) -> list[np.ndarray]:
    """Random weights, one after the other; returns them."""
    generator = torch.Generator().manual_seed(seed)
    seen = []
    for _ in range(steps):
        with torch.no_grad():
            network.weight.copy_(torch.randn(network.weight.shape, generator=generator))
        average.update()
        seen.append(network.weight.detach().double().numpy().copy())
    return seen


@pytest.mark.parametrize("updates", [1.0, 4.0, 7.5, 100.0])
def test_they_are_a_plain_mean_at_first_and_an_exponential_one_later(updates):
    network = nn.Linear(3, 2)
    average = AveragedWeights(network, updates)
    seen = walk(network, average, 20)
    first = int(updates)
    expected = np.mean(seen[:first], axis=0)
    for later in seen[first:]:
        expected = (1 - 1 / updates) * expected + later / updates
    with average.in_place():
        np.testing.assert_allclose(network.weight.detach().numpy(), expected, atol=1e-6)
    assert np.array_equal(network.weight.detach().numpy(), seen[-1].astype(np.float32))


def test_small_updates_of_bfloat16_weights_count():
    network = nn.Linear(3, 2).to(torch.bfloat16)
    with torch.no_grad():
        network.weight.fill_(1.0)
    average = AveragedWeights(network, 1000.0)
    average.update()
    for _ in range(3000):
        with torch.no_grad():
            network.weight.fill_(2.0)
        average.update()
    with average.in_place():
        assert (network.weight > 1.9).all()


def test_the_network_is_its_own_again_after_an_error():
    network = nn.Linear(3, 2)
    average = AveragedWeights(network, 4.0)
    seen = walk(network, average, 5)
    with pytest.raises(RuntimeError, match="evaluation"), average.in_place():
        raise RuntimeError("evaluation")
    assert np.array_equal(network.weight.detach().numpy(), seen[-1].astype(np.float32))


def saved(folder, epoch):
    return load_file(folder / "checkpoint" / f"epoch-{epoch:04d}.safetensors")


def test_a_run_saves_averages_and_learns_as_without(experiment, tmp_path):
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    ends = {
        folder: [event for event in train(one, folder) if isinstance(event, EpochEnd)]
        for folder, one in ((plain, experiment), (averaged, replace(experiment, average=2.0)))
    }
    losses = {folder: [end.metrics["train_loss"] for end in each] for folder, each in ends.items()}
    assert losses[plain] == losses[averaged]
    state = torch.load(averaged / "checkpoint" / "epoch-0003.pt")["average"]
    for name, tensor in saved(plain, 3).items():
        if name in state["own"]:  # else a buffer
            assert torch.equal(state["own"][name], tensor), name
            assert torch.equal(state["means"][name], saved(averaged, 3)[name]), name
    assert any(not torch.equal(saved(averaged, 3)[name], tensor) for name, tensor in saved(plain, 3).items())
    assert state["done"] == 9


@pytest.mark.parametrize("stop_after", [1, 5])
def test_a_resumed_run_has_the_bits_of_one_never_stopped(experiment, tmp_path, stop_after):
    experiment = replace(experiment, average=0.7, model={**experiment.model, "norm": "batch"})
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    list(train(experiment, straight))
    events = train(experiment, stopped)
    next(itertools.islice(events, stop_after, None))
    events.close()
    list(train(experiment, stopped, resume=True))
    for name, tensor in saved(straight, 3).items():
        assert torch.equal(tensor, saved(stopped, 3)[name]), name
