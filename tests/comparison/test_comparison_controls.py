"""The controls do what they say."""

from dataclasses import replace

import torch

from spikescan.analysis import record
from spikescan.comparison import Choice, plan
from spikescan.data import Batch, Dataset, Split, shuffle_time
from spikescan.firing import Membrane, firing_from, firing_to
from spikescan.neurons import DSN
from spikescan.training.build import build_dataset, build_model, build_task, shape_for


def control(recipe, name: str, firing: str):
    trials = plan(*recipe, Choice(["dsn"], [firing] if firing != "none" else ["binary"], [name], seeds=1))
    return next(trial.experiment for trial in trials if trial.control == name and trial.firing == firing)


def model_of(experiment):
    dataset = build_dataset(experiment)
    return build_model(experiment, shape_for(dataset, build_task(experiment)))


def test_static_neurons_do_not_see_the_past(recipe):
    for firing in ("binary", "integer"):
        model = model_of(control(recipe, "static", firing))
        x = 4.0 * torch.randn(9, 5, 2)
        other = torch.cat([4.0 * torch.randn(8, 5, 2), x[8:]])
        layers, others = record(model, x).layers, record(model, other).layers
        assert layers
        for name, layer in layers.items():
            assert layer.spikes.mean() > 0.0
            assert torch.equal(layer.spikes[8], others[name].spikes[8])


def test_nonspiking_neurons_send_their_membrane(recipe):
    model = model_of(control(recipe, "nonspiking", "none"))
    ((_, layer),) = record(model, torch.randn(9, 5, 2)).layers.items()
    assert isinstance(layer.neuron, DSN)
    torch.testing.assert_close(layer.spikes, layer.traces["membrane"])
    assert (layer.spikes != layer.spikes.round()).any()


def test_a_membrane_streams_and_is_written_to_files():
    neuron, x = DSN(3, firing=Membrane()), torch.randn(7, 2, 3)
    y, _ = neuron(x)
    state = neuron.initial_state(x[0])
    for t in range(7):
        y_t, state = neuron.step(x[t], state)
        assert torch.equal(y_t, y[t])
    assert firing_from(firing_to(Membrane())) == Membrane()
    assert torch.equal(Membrane()(x), x)


def split_of(n: int, steps: int, *, lengths=None, step_targets: bool = False, **more) -> Split:
    """Inputs that say which sample and step they are; targets a step that say the step."""
    inputs = torch.stack([torch.arange(n * steps).view(n, steps)] * 2, 2).float()
    targets = torch.arange(steps).repeat(n, 1) if step_targets else torch.zeros(n, dtype=torch.int64)
    return Split(inputs, targets, lengths, **more)


def shuffled(split: Split, seed: int = 0) -> Split:
    return shuffle_time(Dataset("x", 1000, split, split, split), seed).train


def test_shuffling_keeps_the_steps_of_each_sample_and_moves_their_targets_along():
    plain, mixed = split_of(6, 50, step_targets=True), shuffled(split_of(6, 50, step_targets=True))
    before, after = plain.batch(slice(0, 6)), mixed.batch(slice(0, 6))
    assert not torch.equal(before.inputs, after.inputs)
    assert torch.equal(before.inputs, after.inputs.sort(0).values)
    assert torch.equal(after.inputs[:, :, 0].t() % 50, after.targets.float())
    orders = {tuple(row.tolist()) for row in after.targets}
    assert len(orders) == 6


def test_shuffling_leaves_targets_a_sample_where_they_are():
    after = shuffled(split_of(6, 50)).batch(torch.tensor([3, 1]))
    assert after.targets.shape == (2,)
    assert set(after.inputs[:, 0, 0].tolist()) == set(range(150, 200))


def test_padding_stays_at_the_end_whether_trimmed_or_not():
    lengths = torch.tensor([1, 20, 3, 7])
    mixed = shuffled(split_of(4, 50, lengths=lengths, step_targets=True))
    whole, trimmed = mixed.batch(slice(0, 4)), mixed.batch(slice(0, 4), trim=True)
    assert len(trimmed.inputs) == 20
    assert torch.equal(whole.inputs[:20], trimmed.inputs)
    assert torch.equal(whole.targets[:, :20], trimmed.targets)
    for row, length in zip(whole.targets, lengths.tolist(), strict=True):
        assert sorted(row[:length].tolist()) == list(range(length))
        assert row[length:].tolist() == list(range(length, 50))


def test_the_order_of_a_sample_depends_on_it_and_the_seed_alone():
    mixed = shuffled(split_of(8, 50))
    whole = mixed.batch(slice(0, 8)).inputs
    torch.manual_seed(1)
    assert torch.equal(mixed.batch(torch.tensor([5])).inputs[:, 0], whole[:, 5])
    assert not torch.equal(shuffled(split_of(8, 50), seed=1).batch(slice(0, 8)).inputs, whole)
    splits = shuffle_time(Dataset("x", 1000, *[split_of(8, 50)] * 3))
    assert not torch.equal(splits.train.batch(slice(0, 8)).inputs, splits.test.batch(slice(0, 8)).inputs)


def test_orders_are_drawn_evenly():
    order = shuffled(split_of(2, 4)).order(torch.arange(24_000), 4, None)
    counts = torch.bincount((order * torch.tensor([64, 16, 4, 1])).sum(1))
    counts = counts[counts > 0]
    assert len(counts) == 24
    # Five standard deviations of a binomial around 1,000 of each.
    assert (counts - 1000).abs().max() < 160


def test_encoding_and_augmentation_come_first():
    def add_up(batch: Batch) -> Batch:
        return replace(batch, inputs=batch.inputs.cumsum(0))

    mixed = shuffled(split_of(3, 10, encode=lambda x: x * 2.0, augment=add_up))
    before = (split_of(3, 10).inputs * 2.0).cumsum(1).transpose(0, 1)
    assert torch.equal(mixed.batch(slice(0, 3)).inputs.sort(0).values, before)
