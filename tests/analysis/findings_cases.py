"""Runs of every kind of task on a few made-up samples, with networks that were not trained."""

from pathlib import Path

import torch
from torch import nn

from spikescan.data import NOT_SCORED, Dataset, Split
from spikescan.data.sources import Audio, Crossings, Layout, Sensor, Series, Text
from spikescan.data.splits import OneHot
from spikescan.layers import RateReadout, Sequential
from spikescan.neurons import DSN
from spikescan.tasks import Classification, Imitation, Language, Regression, StepClassification, StepRegression, Task
from spikescan.training import Experiment
from spikescan.training.checkpoint import Index, ModelShape
from spikescan.training.run import Run

T, N = 12, 7
LENGTHS = torch.tensor([12, 3, 7, 1, 12, 9, 5])
ALPHABET = Text(tuple("abc"))


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def network(inputs: int, outputs: int, *, flatten: bool = False) -> Sequential:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 6)) if flatten else nn.Linear(inputs, 6)
    return Sequential({"in": first, "neuron": DSN(6), "out": nn.Linear(6, outputs)})


def run_of(folder: Path, dataset: Dataset, task: Task, model: Sequential) -> Run:
    run = Run(
        folder=folder,
        experiment=Experiment(),
        task=task,
        model=model.eval(),
        epoch=1,
        index=Index(epoch=1, step=1, best_epoch=1, best_score=0.0, shape=ModelShape(1, 1, T)),
        metrics=[{"epoch": 1.0, "train_loss": 1.0, "validation_loss": 1.0}],
    )
    vars(run)["dataset"] = dataset
    return run


def _dataset(split: Split, **values) -> Dataset:
    return Dataset("made up", train=split, validation=split, test=split, **({"classes": None} | values))


def sound(folder: Path) -> Run:
    """A class a sample, of different lengths."""
    split = Split(random(N, T, 4), torch.arange(N) % 3, LENGTHS)
    dataset = _dataset(split, classes=4, source=Audio(8000), class_names=("zero", "one", "two", "<never>"))
    return run_of(folder, dataset, Classification(), network(4, 4))


def image(folder: Path) -> Run:
    """Pixels in another order."""
    layout = Layout((1, 3, 4), columns=False, permutation_seed=1)
    split = Split(layout.sequences(random(N, 1, 3, 4).abs()), torch.arange(N) % 2)
    model = Sequential(dict(network(1, 2).named_children()) | {"readout": RateReadout()})
    return run_of(folder, _dataset(split, classes=2, source=layout), Classification(), model)


def events(folder: Path) -> Run:
    """Frames of two polarities."""
    split = Split(random(N, T, 2, 3, 4).abs().floor(), torch.arange(N) % 2)
    dataset = _dataset(split, classes=2, source=Sensor(3, 4))
    return run_of(folder, dataset, Classification(), network(24, 2, flatten=True))


def review(folder: Path) -> Run:
    """A class a text."""
    split = Split(random(N, T, 1).abs().long().clamp(max=2), torch.arange(N) % 2, LENGTHS, encode=OneHot(3))
    return run_of(folder, _dataset(split, classes=2, source=ALPHABET), Classification(), network(3, 2))


def waves(folder: Path) -> Run:
    """A class a step."""
    targets = torch.arange(N * T).view(N, T) % 3
    targets[:, 2] = NOT_SCORED
    split = Split(random(N, T, 4).sign(), targets, LENGTHS)
    dataset = _dataset(split, classes=3, source=Crossings(("lead 1", "lead 2")), class_names=("P", "QRS", "T"))
    return run_of(folder, dataset, StepClassification(), network(4, 3))


def forecast(folder: Path) -> Run:
    """The next 5 steps of 2 variables."""
    split = Split(random(N, T, 2), random(N, 10))
    dataset = _dataset(split, values=10, source=Series(("up", "down"), horizon=5))
    return run_of(folder, dataset, Regression(), network(2, 10))


def language(folder: Path) -> Run:
    """The next symbol."""
    symbols = torch.arange(N * T + 1) % 3
    split = Split(symbols[:-1].view(N, T, 1).to(torch.uint8), symbols[1:].view(N, T).clone(), encode=OneHot(3))
    split.targets[-1, 4:] = NOT_SCORED
    return run_of(folder, _dataset(split, classes=3, source=ALPHABET), Language("nats"), network(3, 3))


def numbers(folder: Path) -> Run:
    """Two numbers a sample, and a channel that was scaled."""
    split = Split(random(N, T, 2), random(N, 2), LENGTHS)
    return run_of(folder, _dataset(split, values=2), Regression(), network(2, 2))


def tracking(folder: Path) -> Run:
    """A number a step."""
    split = Split(random(N, T, 2), random(N, T, 1), LENGTHS)
    return run_of(folder, _dataset(split, values=1), StepRegression(), network(2, 1))


def imitation(folder: Path) -> Run:
    """Spikes a step, with restarts."""
    split = Split(random(N, T, 1), random(N, T, 1).gt(0).float())
    return run_of(folder, _dataset(split, values=1), Imitation(restarts=4), network(1, 4))


RUNS = {
    make.__name__: make
    for make in (sound, image, events, review, waves, forecast, language, numbers, tracking, imitation)
}
