"""The log of trials reads run folders."""

import json
from dataclasses import replace

from benchmarks.trials import trial

from spikescan.recipes import find_recipe
from spikescan.training import experiment_from
from spikescan.training.config import read_yaml, to_yaml
from spikescan.training.metrics import write_metrics


def test_a_row_says_what_changed_and_the_best_validation_score(tmp_path):
    recipe = experiment_from(read_yaml(find_recipe("ecg")))
    changed = replace(
        recipe, model={**recipe.model, "width": 7}, neuron={"name": "lif"}, data={**recipe.data, "path": "x"}
    )
    (tmp_path / "config.yaml").write_text(to_yaml(changed))
    rows = [{"seconds": 30.4, "train_accuracy": 0.5, "validation_accuracy": score} for score in (0.6, 0.8, 0.7)]
    write_metrics(tmp_path / "metrics.csv", rows)
    shape = {"inputs": 4, "outputs": 6, "time_steps": 1301}
    index = {"epoch": 3, "step": 9, "best_epoch": 2, "best_score": 0.8, "shape": shape}
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint/checkpoint.json").write_text(json.dumps({"format": "spikescan checkpoint 1", **index}))
    row = trial("ecg", tmp_path)
    assert row["changes"].startswith("model.width 7; neuron.name lif; neuron.tau left out")
    assert (row["epochs"], row["seconds"], row["score"]) == ("3", "91", "accuracy")
    assert (row["validation"], row["training"]) == ("0.8000", "0.5000")
