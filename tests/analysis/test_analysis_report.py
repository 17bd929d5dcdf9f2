import base64
import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from spikescan.analysis import measure_agreement, measure_firing, measure_latency, page, record
from spikescan.analysis.findings import Example, Findings, Score, find
from spikescan.analysis.report import report_run, write_demo_picture, write_report
from spikescan.data import Dataset, Split
from spikescan.data.sources import Layout
from spikescan.errors import CheckpointError, InputError
from spikescan.layers import RateReadout, Sequential
from spikescan.neurons import DSN, PSN
from spikescan.tasks import Classification
from spikescan.training import Experiment
from spikescan.training.checkpoint import Index, ModelShape
from spikescan.training.run import Run

T = 28
COLUMNS = Layout((1, 28, 28), columns=True, permutation_seed=None)
HOSTILE = "<script>alert('&\"')</script>"
VOID = {"meta", "img", "source"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what a browser would load and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.descriptions: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        assert not {"href", "onload", "onclick"} & set(values)
        self.pictures += [value for name, value in attrs if name in ("src", "srcset")]
        if tag == "img":
            self.descriptions.append(values["alt"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def __contains__(self, words: str) -> bool:
        return words in " ".join(" ".join(self.words).split())


def row(epoch: int) -> dict[str, float]:
    return {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "train_accuracy": 0.5,
        "validation_loss": 2 / epoch,
        "validation_accuracy": 0.4,
        "seconds": 31.0,
        "neuron_steps_per_second": 2e8,
        "firing_rate": 0.2,
        "firing_rate.first": 0.2,
    }


@pytest.fixture(scope="module")
def model() -> Sequential:
    torch.manual_seed(0)
    return Sequential({"in": nn.Linear(28, 8), HOSTILE: DSN(8), "out": nn.Linear(8, 10), "readout": RateReadout()})


@pytest.fixture(scope="module")
def findings(model) -> Findings:
    x = torch.rand(T, 3, 28)
    return Findings(
        title=f"DSN on {HOSTILE}",
        subtitle="a run",
        parameters=1234,
        metrics=[row(1), row(2), row(3)],
        best_epoch=2,
        test=Score("accuracy", 0.934, 500),
        agreement=measure_agreement(model, x),
        example=Example(record(model, x[:, :1]), torch.tensor(3), COLUMNS),
        firing=measure_firing(model, x),
        latency=measure_latency(model, x[:, :1], repeats=1),
        config={"neuron": {"name": HOSTILE}, "patience": None},
        environment={"processor": HOSTILE, "gpus": []},
    )


@pytest.fixture(scope="module")
def report(findings, tmp_path_factory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "report.html", findings)


@pytest.fixture(scope="module")
def text(report) -> str:
    return report.read_text(encoding="utf-8")


def test_the_report_is_one_file(report):
    assert report.name == "report.html"
    assert list(report.parent.iterdir()) == [report]


def test_the_page_is_well_formed_and_loads_nothing(text):
    page = Page(text)
    assert page.tags.count("main") == 1
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert all(picture.startswith("data:image/svg+xml;base64,") for picture in page.pictures)


def test_every_picture_is_there_in_both_themes(text):
    page = Page(text)
    # Activity, inside, loss, accuracy, firing rates by epoch, speed, firing rates.
    assert len(page.descriptions) == 7
    assert len(page.pictures) == 2 * 7
    assert len(set(page.pictures)) == 2 * 7
    assert all(len(description) > 20 for description in page.descriptions)
    for picture in page.pictures:
        drawing = ElementTree.fromstring(base64.b64decode(picture.partition(",")[2]))
        links = [value for part in drawing.iter() for name, value in part.attrib.items() if name.endswith("href")]
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)


def test_the_numbers_are_there(text):
    page = Page(text)
    for words in ("93.4%", "on 500 samples", "1.6 min", "for 3 epochs", "200 M", "1,234", "✓", "epoch 2"):
        assert words in page
    assert "0 of 3 predictions and 0 of 672 spikes differ when the model runs as a compiled stream." in page
    assert "patience none" in page
    assert "gpus none" in page


def test_names_are_escaped(text):
    page = Page(text)
    assert "script" not in page.tags
    for words in (f"DSN on {HOSTILE}", f"neuron.name {HOSTILE}", f"processor {HOSTILE}", f"in {HOSTILE}, of 672"):
        assert words in page


def test_a_difference_is_shown_as_a_failure(findings, tmp_path):
    values = findings.agreement.to_dict()
    values["ways"][-1]["predictions"]["differing"] = 2
    values["ways"][-1]["largest_margin"] = 0.25
    failed = type(findings.agreement).from_dict(values)
    page = Page(
        write_report(
            tmp_path / "report.html",
            Findings(title="x", subtitle="", parameters=1, agreement=failed),
        ).read_text(encoding="utf-8")
    )
    assert "2 of 3 predictions" in page
    assert "✗" in page
    assert "0.25" in page


def test_what_is_not_known_is_left_out(tmp_path):
    path = write_report(tmp_path / "report.html", Findings(title="bare", subtitle="", parameters=7))
    page = Page(path.read_text(encoding="utf-8"))
    assert page.pictures == []
    assert "parameters 7" in page
    assert "None" not in page


def test_a_failure_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = Findings(title="x", subtitle="", parameters=1, latency="no latency")
    with pytest.raises(AttributeError):
        write_report(path, broken)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_demo_picture(findings, tmp_path):
    drawn = write_demo_picture(tmp_path / "demo.svg", findings, dark=True).read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert write_demo_picture(tmp_path / "demo.png", findings).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.png", "demo.svg"]


def test_the_demo_picture_needs_its_parts(findings, tmp_path):
    for path, given in (("demo.jpg", findings), ("demo.svg", Findings(title="x", subtitle="", parameters=1))):
        with pytest.raises(InputError, match="a name that ends in"):
            write_demo_picture(tmp_path / path, given)
    assert list(tmp_path.iterdir()) == []


def run_of(model, folder) -> Run:
    split = Split(torch.rand(5, T, 28), torch.arange(5))
    run = Run(
        folder=folder,
        experiment=Experiment(data={"name": "mnist_small", "columns": True}),
        task=Classification(),
        model=model.eval(),
        epoch=2,
        index=Index(epoch=3, step=3, best_epoch=2, best_score=0.4, shape=ModelShape(28, 10, T)),
        metrics=[row(1), row(2), row(3)],
    )
    vars(run)["dataset"] = Dataset("tiny", 10, split, split, split, source=COLUMNS)
    return run


def test_the_report_of_a_run(model, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "picture", lambda draw, description, caption="", wide=False: "")
    run = run_of(model, tmp_path)
    (tmp_path / "environment.json").write_text(json.dumps({"python": "3.99"}))
    path = report_run(run)
    shown = Page(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "report.html"
    batch = run.dataset.test.batch(slice(None))
    accuracy = float(run.task.scores(model(batch.inputs)[0], batch).mean())
    for words in (
        "DSN on tiny",
        f"{accuracy:.1%}",
        "on 5 samples",
        "0 of 5 predictions",
        "python 3.99",
        "columns True",
    ):
        assert words in shown


def test_the_agreement_that_a_check_left_is_taken(model, tmp_path):
    run = run_of(model, tmp_path)
    kept = measure_agreement(model, torch.rand(T, 4, 28))
    (tmp_path / "agreement.json").write_text(json.dumps(kept.to_dict()))
    assert find(run).agreement == kept
    given = measure_agreement(model, torch.rand(T, 3, 28))
    assert find(run, agreement=given).agreement is given
    (tmp_path / "agreement.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"agreement.json is damaged"):
        find(run)


def test_a_model_that_cannot_step_has_findings_without_agreement(tmp_path):
    found = find(run_of(Sequential(nn.Linear(28, 8), PSN(T), nn.Linear(8, 10)), tmp_path))
    assert found.title == "PSN on tiny"
    assert found.agreement is None
    assert found.latency is None
    assert found.firing["1"].per_neuron.shape == (8,)


def test_the_example_is_the_sample_asked_for(model, tmp_path):
    run = run_of(model, tmp_path)
    example = find(run, sample=3).example
    assert torch.equal(example.recording.x[:, 0], run.dataset.test.inputs[3])
    assert torch.equal(example.image, run.dataset.test.inputs[3].t().unsqueeze(0))
    assert example.label == 3
    with pytest.raises(InputError, match="sample is 5, but the test split of tiny has samples 0 to 4"):
        find(run, sample=5)


def test_a_model_left_in_training_mode_is_scored_in_evaluation_mode(tmp_path):
    model = Sequential(nn.BatchNorm1d(28), nn.Linear(28, 10))
    run = run_of(model, tmp_path)
    expected = find(run).test
    model.train()
    assert find(run).test == expected
    assert model.training
