"""Trials run once, resumed, refused, and failing."""

import json
import multiprocessing
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from spikescan.comparison import Choice, Folders, plan, read_outcomes, run_trials, still_to_do
from spikescan.comparison import running as running_module
from spikescan.comparison.running import Advanced, Finished, Lost, Started
from spikescan.errors import CheckpointError, DataError, InputError
from spikescan.training import EpochEnd, NonFiniteError, evaluate, launch_fabric, load_run, train
from spikescan.training.metrics import read_metrics

ONE = Choice(["dsn"], ["binary"], [], seeds=1)


def folders_in(path, *, keep: bool = False) -> Folders:
    return Folders(path / "results", path / "runs", keep)


def run_all(recipe, folders, choice=ONE, **more) -> list:
    return list(run_trials(still_to_do(plan(*recipe, choice), folders, again=False), folders, **more))


def test_a_finished_cell_holds_what_its_run_says(recipe, tmp_path):
    folders = folders_in(tmp_path, keep=True)
    choice = Choice(["dsn"], ["integer"], [], seeds=1)
    events = run_all(recipe, folders, choice)
    assert isinstance(events[0], Started)
    assert isinstance(events[1], Advanced)
    assert isinstance(events[-1], Finished)
    (outcome,) = read_outcomes(folders.output)
    assert outcome.trial == plan(*recipe, choice)[0]
    assert outcome == events[-1].outcome
    run, found = load_run(folders.run(outcome.trial)), outcome.measured
    rows = read_metrics(run.folder / "metrics.csv")
    best = max(rows, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert (found.epoch, found.validation_score) == (best["epoch"], best["validation_accuracy"])
    fabric = launch_fabric(run.experiment)
    tested = evaluate(fabric, fabric.setup_module(run.model), run.task, run.dataset.test, 8)
    assert (found.test_score, found.test_loss) == (tested.score, tested.loss)
    assert found.wall_seconds == pytest.approx(sum(row["seconds"] for row in rows))
    # linear 2 x 4 + 4, layer norm 4 + 4, head 4 x 2 + 2; DSN 4 x 4 + 4
    assert (found.parameters, found.neuron_parameters) == (12 + 8 + 10 + 20, 20)
    assert (found.time_steps, found.sub_steps) == (6, 24)
    assert sum(found.samples.values()) == 24
    assert found.firing_rate == pytest.approx(tested.firing_rates["block0.neuron"])
    assert sum(found.energy.values()) > 0
    assert outcome.environment["packages"]["torch"]


def test_a_finished_cell_is_never_trained_again(recipe, tmp_path, monkeypatch):
    folders = folders_in(tmp_path)
    run_all(recipe, folders)
    assert not folders.run(plan(*recipe, ONE)[0]).exists()
    path = folders.output / "cells" / "dsn-binary-seed0.json"
    before = path.read_bytes()
    monkeypatch.setattr(running_module, "train_and_measure", None)
    assert run_all(recipe, folders) == []
    elsewhere = replace(recipe[0], data={**recipe[0].data, "path": "moved"}, accelerator="auto")
    assert still_to_do(plan(elsewhere, recipe[1], ONE), folders, again=True) == []
    assert path.read_bytes() == before


def test_a_cell_of_another_experiment_is_named_and_left_alone(recipe, tmp_path):
    folders = folders_in(tmp_path)
    run_all(recipe, folders)
    other = plan(replace(recipe[0], epochs=1), recipe[1], ONE)
    with pytest.raises(InputError, match=r"dsn-binary-seed0\.json .* epochs was 2, now is 1\. .*--output.*--again"):
        still_to_do(other, folders, again=False)
    assert len(read_outcomes(folders.output)) == 1
    assert still_to_do(other, folders, again=True) == other
    assert read_outcomes(folders.output) == []


def test_a_damaged_cell_is_named(recipe, tmp_path):
    folders = folders_in(tmp_path)
    run_all(recipe, folders)
    path = folders.output / "cells" / "dsn-binary-seed0.json"
    for content in ("{", "{}", "[]", json.dumps({**json.loads(path.read_text()), "measured": {}})):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=r"dsn-binary-seed0\.json is damaged"):
            run_all(recipe, folders)


def test_a_stopped_cell_goes_on_where_it_stood_with_the_same_bits(recipe, tmp_path):
    straight, stopped = folders_in(tmp_path / "a", keep=True), folders_in(tmp_path / "b", keep=True)
    run_all(recipe, straight)
    (trial,) = plan(*recipe, ONE)
    events = train(trial.experiment, stopped.run(trial))
    next(event for event in events if isinstance(event, EpochEnd))
    events.close()
    run_all(recipe, stopped)
    one, other = read_outcomes(straight.output)[0].measured, read_outcomes(stopped.output)[0].measured
    measured = {"wall_seconds": 0.0, "neuron_steps_per_second": 0.0}
    assert replace(one, **measured) == replace(other, **measured)
    name = "checkpoint/epoch-0002.safetensors"
    weights, others = load_file(straight.run(trial) / name), load_file(stopped.run(trial) / name)
    assert all(torch.equal(weights[key], others[key]) for key in weights)


def test_an_unfinished_run_of_another_experiment_is_named(recipe, tmp_path):
    folders = folders_in(tmp_path)
    (trial,) = plan(*recipe, ONE)
    next(train(replace(trial.experiment, epochs=7), folders.run(trial)))
    with pytest.raises(InputError, match=r"unfinished run of another experiment .* epochs was 7, now is 2"):
        still_to_do([trial], folders, again=False)
    assert still_to_do([trial], folders, again=True) == [trial]
    assert not folders.run(trial).exists()


def test_failures_are_kept_and_do_not_stop_the_rest(recipe, tmp_path, monkeypatch):
    folders = folders_in(tmp_path)
    true = running_module.train_and_measure

    def fails_for_lif(experiment, folder):
        if experiment.neuron["name"] == "lif":
            raise NonFiniteError("The loss is nan.")
        return (yield from true(experiment, folder))

    monkeypatch.setattr(running_module, "train_and_measure", fails_for_lif)
    choice = Choice(["ilif", "lif", "dsn"], ["binary"], [], seeds=1)
    run_all(recipe, folders, choice)
    reasons = {outcome.trial.contender: outcome.failure for outcome in read_outcomes(folders.output)}
    assert reasons == {"dsn": "", "ilif": "it has no binary spikes", "lif": "The loss is nan."}
    trials = plan(*recipe, choice)
    assert still_to_do(trials, folders, again=False) == []
    assert [trial.contender for trial in still_to_do(trials, folders, again=True)] == ["ilif", "lif"]


def test_no_cell_is_started_after_the_time(recipe, tmp_path):
    folders = folders_in(tmp_path)
    assert run_all(recipe, folders, until=time.monotonic()) == []
    assert run_all(recipe, folders, workers=2, until=time.monotonic()) == []


def test_workers_are_at_least_one(recipe, tmp_path):
    with pytest.raises(InputError, match="workers is 0"):
        run_all(recipe, folders_in(tmp_path), workers=0)


def test_processes_give_the_cells_of_one_process(recipe, tmp_path):
    choice = Choice(["lif", "ilif"], ["binary"], [], seeds=1)
    one, several = folders_in(tmp_path / "one"), folders_in(tmp_path / "several")
    run_all(recipe, one, choice)
    events = run_all(recipe, several, choice, workers=2)
    assert sum(isinstance(event, Finished) for event in events) == 2
    for a, b in zip(read_outcomes(one.output), read_outcomes(several.output), strict=True):
        assert a.trial == b.trial
        assert a.failure == b.failure
        assert (a.measured is None) == (b.measured is None)
        if a.measured:
            assert a.measured.test_score == b.measured.test_score
            assert b.environment["threads"] == 1


def test_data_that_is_gone_is_no_failure_of_a_neuron(recipe, tmp_path):
    folders = folders_in(tmp_path)
    gone = replace(recipe[0], data={**recipe[0].data, "path": str(tmp_path / "gone.npz")})
    with pytest.raises(DataError, match=r"gone\.npz"):
        list(run_trials(plan(gone, recipe[1], ONE), folders))
    assert read_outcomes(folders.output) == []


def test_a_fault_in_a_process_is_told_and_leaves_no_file(recipe, tmp_path, monkeypatch):
    def fault(experiment, folder):
        raise RuntimeError("a fault")
        yield

    monkeypatch.setattr(running_module, "train_and_measure", fault)
    folders, (trial,) = folders_in(tmp_path), plan(*recipe, ONE)
    here, there = multiprocessing.Pipe(duplex=False)
    with here:
        running_module._work(trial, folders, torch.get_num_threads(), there)
        assert here.recv() == Lost(trial, "RuntimeError: a fault")
    assert read_outcomes(folders.output) == []
