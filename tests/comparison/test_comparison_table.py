"""The table against numbers worked out here, and the files it is written to."""

import csv
import json
import math
import re

import numpy as np
import pytest

from spikescan.comparison import Choice, Measured, Outcome, plan
from spikescan.comparison.outcome import write_outcome
from spikescan.comparison.publish import write_page, write_table
from spikescan.comparison.table import details, rows_of, spread, summary
from spikescan.errors import InputError

SCORES = {"dsn": [0.9, 0.94, 0.89], "lif": [0.7, 0.8, 0.6], "psn": [0.5, 0.55, 0.57]}


def measured(score: float, **changes) -> Measured:
    values = {
        "score_name": "accuracy",
        "higher_is_better": True,
        "validation_score": score + 0.01,
        "epoch": 3,
        "test_score": score,
        "test_loss": 0.5,
        "parameters": 12345,
        "neuron_parameters": 45,
        "wall_seconds": 100.0 * score,
        "neuron_steps_per_second": 2e6,
        "firing_rates": {"a": 0.1, "b": 0.3},
        "time_steps": 28,
        "sub_steps": 28,
        "samples": {"training samples": 4000},
        "operations": {"accumulates": 1000.0, "additions": 500.0},
        "energy": {"synapses": 1e-6, "neurons": 5e-7},
        "dense_energy": 4e-6,
    }
    return Measured(**{**values, **changes})


@pytest.fixture
def folder(recipe, tmp_path):
    """Three neurons and a control with binary spikes, three seeds; psn fails with integers; one seed of dsn with integers."""
    environment = {"processor": "P", "cores": 2, "threads": 1, "packages": {"torch": "2"}, "git": "abc"}

    def add(trial, found, failure=""):
        write_outcome(tmp_path, Outcome(trial, found, failure, environment))

    for trial in plan(*recipe, Choice(list(SCORES), controls=["static"], seeds=3)):
        seed = trial.experiment.seed
        if trial.control:
            if trial.firing == "binary":
                add(trial, measured(0.1))
        elif trial.firing == "binary":
            add(trial, measured(SCORES[trial.contender][seed]))
        elif trial.contender == "dsn" and seed == 0:
            add(trial, measured(0.95, sub_steps=112, operations={}, energy={}, dense_energy=None))
        elif trial.contender == "psn":
            add(trial, None, "no | integers <here>")
    return tmp_path


def test_a_spread_is_what_numpy_says():
    values = [0.1, 0.7, 0.35, 0.2]
    found = spread(values)
    assert (found.low, found.high, found.count) == (0.1, 0.7, 4)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert spread([0.3]).deviation is None


def test_the_csv_holds_the_means(folder):
    write_table(folder, "mine")
    rows = {
        (row["neuron"], row["firing"]): row for row in csv.DictReader((folder / "results.csv").read_text().splitlines())
    }
    assert list(rows) == [
        ("dsn", "binary"),
        ("dsn", "integer"),
        ("psn", "binary"),
        ("psn", "integer"),
        ("lif", "binary"),
        ("static", "binary"),
    ]
    for name, scores in SCORES.items():
        row = rows[name, "binary"]
        assert float(row["test_mean"]) == pytest.approx(np.mean(scores), rel=1e-5)
        assert float(row["test_deviation"]) == pytest.approx(np.std(scores, ddof=1), rel=1e-5)
        assert [float(row["test_low"]), float(row["test_high"])] == [min(scores), max(scores)]
        assert float(row["validation_score"]) == pytest.approx(np.mean(scores) + 0.01, rel=1e-5)
        assert float(row["wall_seconds"]) == pytest.approx(100 * np.mean(scores), rel=1e-5)
        assert (row["seeds"], row["parameters"], row["operations"]) == ("3", "12345", "1500")
        assert float(row["firing_rate"]) == pytest.approx(0.2)
        assert float(row["energy_joules"]) == pytest.approx(1.5e-6)
    one = rows["dsn", "integer"]
    assert (one["seeds"], one["test_deviation"], one["sub_steps"], one["energy_joules"]) == ("1", "", "112", "")
    failed = rows["psn", "integer"]
    assert (failed["seeds"], failed["test_mean"], failed["failure"]) == ("0", "", "no | integers <here>")
    assert rows["static", "binary"]["control"] == "static"


def test_markdown_has_binary_and_integer_apart(folder):
    write_table(folder, "mine")
    text = (folder / "README.md").read_text()
    assert "| dsn | 0.91 (0.89 to 0.94; 3 seeds) | 0.95 (1 seed) |" in text
    assert "| psn | 0.54 (0.5 to 0.57; 3 seeds) | - |" in text
    assert "| lif | 0.7 (0.6 to 0.8; 3 seeds) | - |" in text
    assert "* psn, integer: no | integers <here>" in text
    assert text.index("## Binary spikes") < text.index("## Integer spikes") < text.index("## Controls")
    assert "| static, binary | 0.1 (0.1 to 0.1; 3 seeds) |" in text
    assert "4,000 training samples" in text
    assert "Revision abc." in text
    assert "own.npz" not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") - line.count("\\|") for line in block.splitlines()}) == 1, block


def test_one_seed_claims_no_spread(folder):
    from spikescan.comparison import read_outcomes

    rows = [row for row in rows_of(read_outcomes(folder)) if row.firing == "integer" and row.contender == "dsn"]
    assert summary(rows).rows == [["dsn", "0.95 (1 seed)"]]
    columns, body = details(rows)
    assert "energy, µJ" not in columns
    assert dict(zip(columns, body[0], strict=True))["T x N"] == "112"


def test_the_page_is_one_file_with_pictures(folder):
    pytest.importorskip("matplotlib")
    text = write_page(folder, "mine").read_text()
    assert text.count("<picture>") == 3
    assert "no | integers &lt;here&gt;" in text
    assert not re.search(r"(src|href|srcset)=\"(?!data:)", text)


def test_scores_that_are_not_finite_are_shown(recipe, tmp_path):
    (trial,) = plan(*recipe, Choice(["dsn"], ["binary"], [], seeds=1))
    write_outcome(tmp_path, Outcome(trial, measured(math.inf, validation_score=math.inf), "", {}))
    write_table(tmp_path, "mine")
    assert "| dsn | inf (1 seed) | inf |" in (tmp_path / "README.md").read_text()


def test_the_table_follows_the_cells(folder):
    write_table(folder, "mine")
    before = (folder / "results.csv").read_text()
    path = folder / "cells" / "lif-binary-seed1.json"
    values = json.loads(path.read_text())
    values["measured"]["test_score"] = 0.2
    path.write_text(json.dumps(values))
    write_table(folder, "mine")
    assert (folder / "results.csv").read_text() != before
    assert "| lif | 0.5 (0.2 to 0.7; 3 seeds) |" in (folder / "README.md").read_text()


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no finished cell yet: spikescan compare mine"):
        write_table(tmp_path, "mine")
