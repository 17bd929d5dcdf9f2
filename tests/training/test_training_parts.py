"""Schedules, parameter groups, firing rates, evaluation."""

import math

import pytest
import torch
from torch import nn

from spikescan.data import Dataset, Split
from spikescan.errors import InputError
from spikescan.firing import Binary
from spikescan.layers import LeakyReadout, RateReadout, Sequential
from spikescan.neurons.base import Cost, Neuron, spiking_neurons
from spikescan.tasks import Classification
from spikescan.training import Experiment, evaluate, launch_fabric
from spikescan.training.evaluation import shares
from spikescan.training.measure import NeuronMeter, measure
from spikescan.training.optimisers import adamw, list_optimisers, optimiser_maker, parameter_groups, sgd
from spikescan.training.schedules import constant, cosine, list_schedules, one_cycle, schedule_maker


def test_one_cycle_is_that_of_torch():
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.0, total_steps=101, pct_start=0.3, cycle_momentum=False)
    ours = one_cycle(warmup=0.293, start=1 / 25, end=1 / 25e4)
    for step in range(101):
        assert ours(step / 100) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-6), step
        optimiser.step()
        if step < 100:
            theirs.step()


def test_cosine_and_constant():
    assert [cosine(warmup=0.2, end=0.1)(x) for x in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0, 0.5, 1, 0.55, 0.1])
    assert [constant(warmup=0.5)(x) for x in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    assert constant()(0.0) == cosine(warmup=0.0)(0.0) == one_cycle(warmup=0.0)(0.0) == 1.0
    with pytest.raises(InputError, match=r"warmup is 1\.0"):
        cosine(warmup=1.0)


def test_names():
    assert {schedule_maker(name) for name in list_schedules()} == {constant, cosine, one_cycle}
    assert {optimiser_maker(name) for name in list_optimisers()} == {adamw, sgd}
    with pytest.raises(InputError, match="Did you mean 'one_cycle'"):
        schedule_maker("onecycle")
    with pytest.raises(InputError, match="Did you mean 'adamw'"):
        optimiser_maker("adam")


def test_decays_thresholds_biases_and_scales_are_spared():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), LeakyReadout(3))
    marked = nn.Parameter(torch.zeros(3, 4))
    marked.no_weight_decay = True
    model.register_parameter("taps", marked)
    model.register_parameter("frozen", nn.Parameter(torch.zeros(2, 2), requires_grad=False))
    decayed, spared = parameter_groups(model, 0.5)
    assert decayed["weight_decay"] == 0.5
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight)]
    assert spared["weight_decay"] == 0.0
    expected = {model[0].bias, model[1].weight, model[1].bias, model[2].decay_logit, marked}
    assert {id(p) for p in spared["params"]} == {id(p) for p in expected}


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (adamw, {"lr": -1.0}, "adamw: lr is -1.0, expected 0 or more"),
        (adamw, {"weight_decay": math.nan}, "adamw: weight_decay is nan"),
        (adamw, {"betas": (0.9, 1.0)}, r"adamw: betas is \[0\.9, 1\.0\]"),
        (sgd, {"momentum": -0.1}, "sgd: momentum is -0.1"),
    ],
)
def test_options_out_of_range_are_refused(make, options, message):
    with pytest.raises(InputError, match=message):
        make(nn.Linear(2, 2), **options)


class Steady(Neuron):
    """Every neuron of channel c gives out c spikes a step, and nothing in the padding."""

    firing = Binary()

    def forward(self, x, state=None, lengths=None):
        y = torch.arange(x.shape[2], dtype=x.dtype).expand(x.shape).clone()
        if lengths is not None:
            y[torch.arange(len(x)).unsqueeze(1) >= lengths] = 0.0
        return y, ()

    def step(self, x_t, state=None):
        return torch.arange(x_t.shape[1], dtype=x_t.dtype).expand(x_t.shape), ()

    def initial_state(self, x_t):
        return ()

    def cost(self):
        return Cost()

    def trace(self, x, state=None):
        return {"membrane": x}


@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 1, 2])])
def test_firing_rates_count_valid_steps_alone(lengths):
    model = Sequential({"a": Steady(), "b": nn.Linear(3, 5), "c": Steady()})
    assert list(spiking_neurons(model)) == ["a", "c"]
    meter = NeuronMeter()
    with measure(model, meter):
        model(torch.zeros(6, 3, 3), None, lengths)
        model(torch.zeros(6, 3, 3), None, lengths)
    model(torch.zeros(6, 3, 3), None, lengths)
    assert meter.rates(meter.totals(torch.device("cpu"))) == {"a": pytest.approx(1.0), "c": pytest.approx(2.0)}
    assert meter.neuron_steps == 2 * 6 * 3 * (3 + 5)


def test_a_stride_looks_at_some_steps_and_counts_the_work_of_all():
    meter = NeuronMeter(stride=4)
    with measure(model := Sequential(Steady()), meter):
        model(torch.zeros(8, 1, 3))
    assert meter.rates(meter.totals(torch.device("cpu"))) == {"0": pytest.approx(1.0)}
    assert meter.neuron_steps == 24


def test_evaluation_does_not_depend_on_the_batches():
    torch.manual_seed(0)
    split = Split(torch.randn(11, 4, 3), torch.randint(2, (11,)), torch.randint(1, 5, (11,)))
    network = Sequential(nn.Linear(3, 4), nn.Dropout(0.5), Steady(), nn.Linear(4, 2), RateReadout()).train()
    fabric = launch_fabric(Experiment(accelerator="cpu"))
    model = fabric.setup_module(network)
    found = [evaluate(fabric, model, Classification(), split, size) for size in (3, 11)]
    assert model.training
    assert network.training
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-5)
    assert found[0].score == found[1].score
    assert found[0].firing_rates == pytest.approx(found[1].firing_rates)
    outputs, _ = network.eval()(split.inputs.transpose(0, 1), None, split.lengths)
    expected = Classification().losses(outputs, split.batch(slice(None))).mean().detach()
    assert found[0].loss == pytest.approx(float(expected), rel=1e-5)
    assert Dataset("x", 2, split, split, split).time_steps == 4


def test_evaluation_leaves_an_evaluated_network_in_evaluation_mode():
    split = Split(torch.randn(4, 3, 3), torch.zeros(4, dtype=torch.int64))
    network = Sequential(nn.Linear(3, 2), RateReadout()).eval()
    fabric = launch_fabric(Experiment(accelerator="cpu"))
    evaluate(fabric, fabric.setup_module(network), Classification(), split, 4)
    assert not network.training


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_every_batch_without_overlap(world):
    order = torch.randperm(13)
    parts = [list(shares(order, 4, rank, world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1, "all processes must make the same number of updates"
    for number, batch in enumerate(order.split(4)):
        counted = [part[number].indices for part in parts if part[number].weight]
        assert sorted(torch.cat(counted).tolist()) == sorted(batch.tolist())
        assert all(torch.equal(part[number].batch, batch) for part in parts)
        assert all(len(part[number].indices) for part in parts)
