import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from findings_cases import ALPHABET, LENGTHS, RUNS, N, T, language, network, run_of
from torch import nn

from spikescan.analysis import _batches, measure_agreement, measure_firing, measure_split_agreement
from spikescan.analysis.findings import Confusion, find
from spikescan.analysis.findings.language import generate
from spikescan.control import ControlExperiment, ControlRun
from spikescan.data import NOT_SCORED, Dataset, Scaling, Split, sequence
from spikescan.data.baselines import repeat_last
from spikescan.data.sources import Crossings, Layout, Sensor, Series, Text
from spikescan.errors import CheckpointError, DataError, InputError
from spikescan.layers import Sequential, final_step
from spikescan.neurons import PSN
from spikescan.training.checkpoint import Index, ModelShape

TASK_FIELDS = {
    "sound": {"class_names", "confusion", "class_rates", "class_examples"},
    "image": {"class_names", "confusion", "class_rates", "class_examples"},
    "events": {"class_names", "confusion", "class_rates", "class_examples"},
    "review": {"class_names", "confusion", "class_rates", "class_examples"},
    "waves": {"class_names", "confusion", "label_bands"},
    "forecast": {"forecast_errors", "forecast_windows"},
    "language": {"class_names", "generated_text", "position_loss"},
    "numbers": {"pairs"},
    "tracking": {"tracks"},
    "imitation": {"tracks"},
}


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(_batches, "_SAMPLES", 3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("spikescan.analysis.findings.findings.measure_latency", lambda model, x: None)


@pytest.mark.parametrize("kind", RUNS)
def test_each_kind_of_task_has_its_findings_and_no_others(kind, tmp_path):
    found = find(RUNS[kind](tmp_path))
    special = set().union(*TASK_FIELDS.values())
    assert {name for name in special if getattr(found, name) is not None and len_or_one(getattr(found, name))} == (
        TASK_FIELDS[kind]
    )
    assert found.test.samples == N
    assert found.agreement.samples == N
    assert found.energy.joules > 0


def len_or_one(value) -> int:
    return len(value) if hasattr(value, "__len__") else 1


@pytest.mark.parametrize("kind", ["sound", "waves", "language", "numbers"])
def test_batches_do_not_change_what_is_found(kind, tmp_path, small_batches):
    run = RUNS[kind](tmp_path)
    found = find(run)
    everything = run.dataset.test.batch(slice(None))
    output, _ = run.model(everything.inputs, None, everything.lengths)
    task, lengths = run.task, everything.lengths
    weights = task.weights(everything.targets, lengths)
    score = task.score(float(task.scores(output, everything).sum() / weights.sum()), task.reference(run.dataset.test))
    assert found.test.value == pytest.approx(score, rel=1e-5)
    rates = measure_firing(run.model, everything.inputs, lengths)
    assert torch.allclose(found.firing["neuron"].per_neuron, rates["neuron"].per_neuron)


def test_the_agreement_of_a_split_is_that_of_its_tensors(tmp_path, small_batches):
    run = RUNS["sound"](tmp_path)
    everything = run.dataset.test.batch(slice(0, 5))
    whole = measure_agreement(run.model, everything.inputs, lengths=everything.lengths)
    split = measure_split_agreement(run.model, run.dataset.test, samples=5)
    assert replace(split, ways=whole.ways) == whole
    assert [way.spikes for way in split.ways] == [way.spikes for way in whole.ways]
    with pytest.raises(InputError, match="0 are asked for"):
        measure_split_agreement(run.model, run.dataset.test, samples=0)


def test_long_samples_and_wide_ones_come_in_small_batches():
    def at_once(inputs: torch.Tensor) -> int:
        return _batches.batch_size(
            network(inputs.shape[2], 2), Split(inputs, torch.zeros(len(inputs), dtype=torch.int64))
        )

    assert at_once(torch.zeros(2, 10, 3)) == 100
    assert at_once(torch.zeros(2, 200_000, 2)) == (1 << 25) // (200_000 * (2 + 6 + 2))
    assert at_once(torch.zeros(2, 10, 1 << 18)) == 12


def test_confusion_counts_samples_at_their_last_valid_step(tmp_path, small_batches):
    run = RUNS["sound"](tmp_path)
    found = find(run).confusion
    everything = run.dataset.test.batch(slice(None))
    output, _ = run.model(everything.inputs, None, everything.lengths)
    taken = final_step(output, everything.lengths).argmax(-1)
    expected = torch.zeros(4, 4, dtype=torch.int64)
    for true, other in zip(everything.targets.tolist(), taken.tolist(), strict=True):
        expected[true, other] += 1
    assert torch.equal(found.counts, expected)
    assert (found.unit, found.names[3]) == ("samples", "<never>")
    assert math.isnan(found.recalls[3])


def test_confusion_counts_scored_valid_steps_only(tmp_path, small_batches):
    run = RUNS["waves"](tmp_path)
    found = find(run).confusion
    targets = run.dataset.test.targets
    valid = (torch.arange(T) < LENGTHS.unsqueeze(1)) & (targets != NOT_SCORED)
    assert found.unit == "steps"
    assert torch.equal(found.counts.sum(1), torch.bincount(targets[valid], minlength=3))


def test_the_most_frequent_mistakes_come_first():
    counts = torch.tensor([[5, 2, 0], [3, 5, 0], [0, 0, 5]])
    found = Confusion(counts, ["a", "b", "c"], "samples")
    assert found.mistakes(5) == [("b", "a", 3), ("a", "b", 2)]
    assert found.recalls.tolist() == pytest.approx([5 / 7, 5 / 8, 1.0])


def test_rates_by_class_are_means_over_the_steps_of_the_class(tmp_path, small_batches):
    run = RUNS["sound"](tmp_path)
    found = find(run).class_rates
    ones = (run.dataset.test.targets == 1).nonzero().flatten()
    batch = run.dataset.test.batch(ones)
    expected = measure_firing(run.model, batch.inputs, batch.lengths)["neuron"].per_neuron
    assert torch.allclose(found.rates[1].double(), expected)
    assert found.rates[3].eq(0).all()
    assert sorted(found.order.tolist()) == list(range(6))
    assert found.rates.argmax(0)[found.order].diff().ge(0).all()


def test_there_is_an_example_of_each_class(tmp_path):
    examples = find(RUNS["sound"](tmp_path)).class_examples
    assert [example.label for example in examples] == [0, 1, 2]
    assert [example.steps for example in examples] == LENGTHS[:3].tolist()
    assert [len(example.input) for example in examples] == LENGTHS[:3].tolist()


def test_a_permuted_image_is_shown_as_it_was(tmp_path):
    run = RUNS["image"](tmp_path)
    example = find(run, sample=2).example
    original = Layout((1, 3, 4), columns=False, permutation_seed=1).images(run.dataset.test.inputs)[2]
    assert torch.equal(example.image, original)
    assert not torch.equal(example.image.flatten(), example.recording.x.flatten())


def test_scaled_inputs_are_shown_as_they_were(tmp_path):
    run = RUNS["numbers"](tmp_path)
    scaling = Scaling(torch.tensor([5.0, 0.0]), torch.tensor([2.0, 3.0]))
    vars(run)["dataset"] = replace(run.dataset, scaling=scaling)
    example = find(run).example
    assert torch.allclose(scaling(example.input), run.dataset.test.inputs[0])


def test_bands_hold_targets_and_outputs_of_valid_steps(tmp_path):
    run = RUNS["waves"](tmp_path)
    band = find(run).label_bands[0]
    assert band.signal_names == ("lead 1", "lead 2")
    assert band.signals.shape == (len(band.targets), 2)
    assert band.rows.shape == (2, len(band.targets))
    assert band.rows[0].min() == -1
    scored = band.targets != NOT_SCORED
    assert band.agreement == pytest.approx(float((band.outputs == band.targets)[scored].float().mean()))


def test_crossings_become_a_signal_without_drift():
    up, down = torch.tensor([1.0, 1, 1, 0, 0, 1]), torch.tensor([0.0, 0, 0, 1, 0, 0])
    signal = Crossings(("lead",)).signals(torch.stack([up, down], 1))
    assert signal.shape == (6, 1)
    assert signal[-1] == 0
    assert signal[2] > signal[3]


def test_forecast_errors_are_those_of_the_baselines(tmp_path, small_batches):
    run = RUNS["forecast"](tmp_path)
    found = find(run)
    errors, baseline = found.forecast_errors, repeat_last(run.dataset.test)
    assert errors.by_step.shape == (5,)
    assert float(errors.repeat_last.mean()) == pytest.approx(baseline.mse)
    assert errors.overall["repeat_last"] == baseline
    share = errors.overall["this model"].mse / run.task.reference(run.dataset.test)
    assert found.test.value == pytest.approx(1 - share, rel=1e-5)
    window = found.forecast_windows[0]
    assert torch.equal(window.past, run.dataset.test.inputs[1])
    assert torch.equal(window.future.flatten(), run.dataset.test.targets[1])


def test_a_time_step_may_hold_several_steps_of_a_series(tmp_path, monkeypatch):
    monkeypatch.setattr("spikescan.analysis.findings.values.forecast_baselines", lambda dataset: {})
    run = RUNS["forecast"](tmp_path)
    plain = find(run)
    framed = replace(run.dataset.test, inputs=run.dataset.test.inputs.view(N, T // 3, 3, 2))
    dataset = replace(run.dataset, train=framed, validation=framed, test=framed)
    found = find(run_of(tmp_path, dataset, run.task, network(6, 10, flatten=True)))
    assert torch.equal(found.forecast_errors.repeat_last, plain.forecast_errors.repeat_last)
    assert torch.equal(found.forecast_windows[0].past, plain.forecast_windows[0].past)


def test_the_loss_by_place_averages_to_the_score(tmp_path, small_batches):
    found = find(RUNS["language"](tmp_path))
    places = found.position_loss
    assert places.steps.tolist() == [N] * 4 + [N - 1] * (T - 4)
    mean = float((places.loss * places.steps).sum() / places.steps.sum())
    assert mean == pytest.approx(found.test.value, rel=1e-5)


def test_text_is_drawn_from_the_running_model(tmp_path):
    cycle = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        cycle.weight.copy_(100.0 * torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    run = language(tmp_path)
    run = run_of(tmp_path, run.dataset, run.task, Sequential(cycle))
    found = find(run).generated_text
    assert found.prompt == "abcabcabcabc"
    assert found.text == "abc" * 200


def test_text_depends_on_the_seed_alone(tmp_path):
    run = language(tmp_path)
    prompt = torch.tensor([0, 1])
    written = [generate(run, prompt, 40, 1.0, torch.Generator().manual_seed(seed)).tolist() for seed in (3, 3, 4)]
    assert written[0] == written[1] != written[2]


def test_words_have_spaces_between_them():
    assert Text(("to", "be"), separator=" ").text(torch.tensor([0, 1, 0])) == "to be to"
    assert ALPHABET.text(torch.tensor([2, 0])) == "ca"


def test_a_model_that_cannot_be_stepped_writes_nothing(tmp_path):
    run = language(tmp_path)
    model = Sequential(nn.Linear(3, 4), PSN(T), nn.Linear(4, 3))
    found = find(run_of(tmp_path, run.dataset, run.task, model))
    assert found.generated_text is None
    assert found.agreement is None
    assert found.position_loss is not None


def test_of_restarts_the_nearest_is_shown(tmp_path):
    run = RUNS["imitation"](tmp_path)
    track = find(run).tracks[0]
    assert track.targets.shape == track.outputs.shape == (T, 1)
    batch = run.dataset.test.batch(slice(1, 2))
    output, _ = run.model(batch.inputs)
    errors = (output[:, 0] - batch.targets[0]).square().mean(0)
    assert torch.allclose(track.outputs[:, 0], output[:, 0, int(errors.argmin())])


def test_the_energy_that_a_command_left_is_taken(tmp_path):
    run = RUNS["sound"](tmp_path)
    counted = find(run).energy
    (tmp_path / "energy.json").write_text(json.dumps({"split": "test", **counted.to_dict(), "samples": 99}))
    assert find(run).energy == replace(counted, samples=99)
    (tmp_path / "energy.json").write_text(json.dumps({"split": "validation", **counted.to_dict(), "samples": 99}))
    assert find(run).energy == counted, "the report speaks of the test split"
    (tmp_path / "energy.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"energy.json is damaged"):
        find(run)


def test_energy_is_left_out_where_nobody_knows_the_operations(tmp_path):
    run = RUNS["numbers"](tmp_path)
    strange = Sequential(nn.Linear(2, 2), nn.Softsign())
    assert find(run_of(tmp_path, run.dataset, run.task, strange)).energy is None


def test_a_run_in_an_environment_has_its_returns(tmp_path):
    row = {"epoch": 1.0, "train_loss": 1.0, "train_return": float("nan"), "validation_return": 20.0}
    run = ControlRun(
        folder=tmp_path,
        experiment=ControlExperiment(environment={"name": "InvertedPendulum-v5"}),
        model=network(2, 1),
        epoch=1,
        index=Index(epoch=1, step=1, best_epoch=1, best_score=0.0, shape=ModelShape(2, 1, 0)),
        metrics=[row],
    )
    assert find(run).test is None
    (tmp_path / "evaluation-test.json").write_text(json.dumps({"mean_return": 30.5, "returns": [30.0, 31.0]}))
    found = find(run)
    assert found.title == "DSN in InvertedPendulum-v5"
    assert (found.test.value, found.test.samples, found.test.unit) == (30.5, 2, "episodes")
    assert found.energy is None
    counted = find(RUNS["sound"](tmp_path)).energy
    (tmp_path / "energy.json").write_text(json.dumps({"split": "test", **counted.to_dict()}))
    assert find(run).energy == counted


def test_classes_have_as_many_names_as_there_are():
    split = Split(torch.zeros(2, 3, 1), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="3 class_names for 2 classes"):
        Dataset("tiny", 2, split, split, split, class_names=("a", "b", "c"))


def test_a_users_own_data_says_what_it_is(tmp_path):
    x, offsets = np.zeros(8, np.int64), np.arange(9)
    path = tmp_path / "events.npz"
    np.savez(path, x=x, y=x + 1, t=x, p=x, offsets=offsets, target=np.array(list("abababab")), sensor=[2, 3])
    dataset = sequence(path=str(path), frames=2)
    assert dataset.source == Sensor(2, 3)
    assert dataset.class_names == ("a", "b")
    assert dataset.source.frames(dataset.test.inputs[0]).shape == (2, 2, 2, 3)
    (tmp_path / "table.csv").write_text(
        "sample,pressure,flow,target\n" + "".join(f"{n},1.0,2.0,{n % 2}\n" for n in range(8))
    )
    assert sequence(path=str(tmp_path / "table.csv")).source == Series(("pressure", "flow"))
    np.savez(path, x=np.zeros((8, 3, 2)), y=x, channel_names=np.array(["one"]))
    with pytest.raises(DataError, match=r"channel_names is \[1\], expected a name for each of 2"):
        sequence(path=str(path))
