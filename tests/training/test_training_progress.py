"""Neurons that follow training: the annealed mask of masked PSN."""

import functools
import itertools
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from spikescan.models import registry as model_registry
from spikescan.neurons import MaskedPSN
from spikescan.training import EpochEnd, Step, load_run, train

UPDATES = 9  # three epochs of three


@pytest.fixture
def annealed(experiment):
    return replace(experiment, neuron={"name": "masked_psn", "order": 4, "anneal": 0.5})


def test_the_mask_is_whole_after_its_part_of_the_updates(annealed, tmp_path, monkeypatch):
    built, build = [], model_registry._models["mlp"]

    @functools.wraps(build)
    def recorded(**arguments):
        built.append(build(**arguments))
        return built[-1]

    monkeypatch.setitem(model_registry._models, "mlp", recorded)
    updates = (event for event in train(annealed, tmp_path / "run") if isinstance(event, Step))
    found = [[each.mask_weight for each in built[-1].modules() if isinstance(each, MaskedPSN)] for _ in updates]
    assert found == [[min(1.0, update / UPDATES / 0.5)] * 2 for update in range(UPDATES)]


def test_a_resumed_run_has_the_bits_of_one_never_stopped(annealed, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    list(train(annealed, straight))
    events = train(annealed, stopped)
    next(itertools.islice(events, 5, None))  # in the second epoch, the mask on its way
    events.close()
    list(train(annealed, stopped, resume=True))
    one, other = (load_file(folder / "checkpoint" / "epoch-0003.safetensors") for folder in (straight, stopped))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_what_is_saved_on_the_way_is_the_causal_neuron(annealed, tmp_path):
    """Also the score of its epoch is that of the whole mask."""
    (end,) = (event for event in train(replace(annealed, epochs=1), tmp_path / "run") if isinstance(event, EpochEnd))
    loaded = load_run(tmp_path / "run")
    x = torch.randn(28, 20, 28)
    with torch.no_grad():
        whole, _ = loaded.model(x)
        state, steps = None, []
        for x_t in x:
            y_t, state = loaded.model.step(x_t, state)
            steps.append(y_t)
    torch.testing.assert_close(torch.stack(steps), whole)
    batch = loaded.dataset.validation.batch(torch.arange(20))
    scores = loaded.task.scores(loaded.model(batch.inputs, None, batch.lengths)[0], batch)
    assert float(scores.mean()) == pytest.approx(end.metrics["validation_accuracy"])
