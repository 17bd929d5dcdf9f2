"""The auxiliary losses of neurons reach the update."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from spikescan import InputError, auxiliary_losses
from spikescan.data import Split
from spikescan.layers import RateReadout, Sequential
from spikescan.neurons import MPEPSN
from spikescan.tasks import Classification
from spikescan.training import EpochEnd, Experiment, Notice, launch_fabric, train
from spikescan.training.epoch import Learner, _mix, run_epoch
from spikescan.training.optimisers import sgd
from spikescan.training.schedules import constant


def network() -> Sequential:
    torch.manual_seed(0)
    return Sequential(nn.Linear(3, 4), MPEPSN(learnt_loss_steps=6), nn.Linear(4, 2), RateReadout())


def test_an_update_minimises_both():
    """(1 - lam) task loss + lam times the auxiliary loss, by hand."""
    torch.manual_seed(1)
    split = Split(3.0 * torch.randn(11, 6, 3), torch.randint(2, (11,)), torch.randint(1, 7, (11,)))
    fabric, model = launch_fabric(Experiment(accelerator="cpu")), network()
    wrapped, optimiser = fabric.setup(model, sgd(model, lr=0.1, momentum=0.0))
    learner = Learner(
        fabric, wrapped, optimiser, constant(), Classification(), split,
        clip_norm=None, batch_size=11, epochs=1, seed=0, auxiliary_weight=0.3, bucket=False,
    )  # fmt: skip
    gradients = {}
    optimiser.optimizer.register_step_pre_hook(
        lambda *_: gradients.update({name: p.grad.clone() for name, p in model.named_parameters()})
    )
    (step,) = run_epoch(learner, 1)

    other = network()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(_mix(0, 1)))
    torch.manual_seed(_mix(0, 1, 0))
    batch = split.batch(order)
    with auxiliary_losses() as losses:
        outputs, _ = other(batch.inputs, None, batch.lengths)
    task = Classification().losses(outputs, batch).mean()
    (0.7 * task + 0.3 * sum(loss.mean() for loss in losses)).backward()
    for name, parameter in other.named_parameters():
        assert gradients[name].abs().sum() > 0, name
        torch.testing.assert_close(gradients[name], parameter.grad, msg=name)
    assert step.loss == pytest.approx(task.item())  # shown is the loss of the task


def test_a_recipe_trains_with_it(experiment, tmp_path):
    weighted = replace(experiment, neuron={"name": "mpe_psn", "learnt_loss_steps": 28}, auxiliary_weight=0.01, epochs=2)
    events = list(train(weighted, tmp_path / "with"))
    assert not [event for event in events if isinstance(event, Notice)]
    assert isinstance(events[-1], EpochEnd)
    events = list(train(replace(weighted, auxiliary_weight=0.0, epochs=1), tmp_path / "without"))
    # Nothing but that loss depends on its weights.
    assert any("loss_weight" in event.message for event in events if isinstance(event, Notice))


def test_a_weight_without_a_loss_is_refused(experiment, tmp_path):
    with pytest.raises(InputError, match=r"auxiliary_weight is 0.01, but no neuron .* mpe_psn .* Set auxiliary_weight"):
        list(train(replace(experiment, auxiliary_weight=0.01), tmp_path))
