"""What a trial gave, and the small file that keeps it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spikescan.comparison.experiments import differences, read_any
from spikescan.comparison.plan import Trial
from spikescan.errors import CheckpointError, InputError
from spikescan.files import write_text
from spikescan.training import describe_environment

__all__ = [
    "Measured",
    "Outcome",
    "find_outcome",
    "outcome_path",
    "read_outcome",
    "read_outcomes",
    "write_outcome",
]

_FORMAT = "spikescan comparison 1"


@dataclass(frozen=True)
class Measured:
    """What training and evaluation of one experiment gave.

    Args:
        score_name: such as accuracy.
        higher_is_better: of the score.
        validation_score: at the chosen epoch, which has the best.
        epoch: the chosen one.
        test_score: of the weights of that epoch, on samples that chose nothing.
        test_loss: likewise; None where there is none.
        parameters: that are trained.
        neuron_parameters: those of them within neurons.
        wall_seconds: of training, evaluation apart.
        neuron_steps_per_second: time steps x samples x neurons in training, the median over the epochs.
        firing_rates: spikes a neuron and time step on the test samples, by layer; empty where nothing spikes.
        time_steps: T of a sample; for an actor, of an observation.
        sub_steps: T x N, binary time steps for integer spikes of up to N.
        samples: how many there are of what: training samples, test episodes.
        operations: a sample, by kind (`spikescan.analysis.Operations`), on test samples; empty where they could not be counted.
        energy: of these operations, in joules a sample, by what does them: synapses, neurons, other.
        dense_energy: of the same network with real numbers in place of spikes.
    """

    score_name: str
    higher_is_better: bool
    validation_score: float
    epoch: int
    test_score: float
    test_loss: float | None
    parameters: int
    neuron_parameters: int
    wall_seconds: float
    neuron_steps_per_second: float
    firing_rates: dict[str, float]
    time_steps: int
    sub_steps: int
    samples: dict[str, int]
    operations: dict[str, float] = field(default_factory=dict)
    energy: dict[str, float] = field(default_factory=dict)
    dense_energy: float | None = None

    @property
    def firing_rate(self) -> float | None:
        """The mean over the layers; None where nothing spikes."""
        return sum(self.firing_rates.values()) / len(self.firing_rates) if self.firing_rates else None


@dataclass(frozen=True)
class Outcome:
    """A trial that is done: what it gave, or why it failed.

    Args:
        trial: what was trained.
        measured: None where it failed.
        failure: why; empty where it did not.
        environment: where and with which versions.
    """

    trial: Trial
    measured: Measured | None
    failure: str = ""
    environment: Mapping[str, Any] = field(default_factory=describe_environment)


def outcome_path(folder: Path, trial: Trial) -> Path:
    """The file of a trial's outcome."""
    return folder / "cells" / f"{trial.name}.json"


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write its file, whole or not at all."""
    path = outcome_path(folder, outcome.trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"format": _FORMAT, **asdict(outcome)}, indent=1) + "\n")


def find_outcome(folder: Path, trial: Trial) -> Outcome | None:
    """The outcome of a trial that was done before; None if it was not.

    Raises:
        InputError: the file in its place is of another experiment; the message names both.
        CheckpointError: the file is damaged.
    """
    path = outcome_path(folder, trial)
    if not path.exists():
        return None
    outcome = read_outcome(path)
    if words := differences(outcome.trial.experiment, trial.experiment):
        raise InputError(
            f"{path} holds another experiment than {trial.name} of this comparison: {words}. Name another folder, "
            f"--output FOLDER, or let it be replaced, --again."
        )
    return outcome


def read_outcomes(folder: Path) -> list[Outcome]:
    """All outcomes in a results folder, by the names of their files."""
    return [read_outcome(path) for path in sorted((folder / "cells").glob("*.json"))]


def read_outcome(path: Path) -> Outcome:
    """Read one file.

    Raises:
        CheckpointError: it is damaged or of another program.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise KeyError("format")
        given = values["trial"]
        trial = Trial(**{**given, "experiment": read_any(given["experiment"], str(path))})
        measured = None if values["measured"] is None else Measured(**values["measured"])
        return Outcome(trial, measured, values["failure"], values["environment"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged, or no cell of a comparison ({error!r}). Delete it to train that cell again."
        ) from error
