"""The training loop on Lightning Fabric, run folders, checkpoints. Needs ``pip install 'spikescan[train]'``."""

from spikescan.training.config import Experiment, experiment_from
from spikescan.training.environment import describe_environment
from spikescan.training.evaluation import Evaluation, evaluate
from spikescan.training.events import EpochEnd, Event, Notice, Step
from spikescan.training.loop import launch_fabric, train
from spikescan.training.nonfinite import NonFiniteError
from spikescan.training.run import Run, load_run

__all__ = [
    "EpochEnd",
    "Evaluation",
    "Event",
    "Experiment",
    "NonFiniteError",
    "Notice",
    "Run",
    "Step",
    "describe_environment",
    "evaluate",
    "experiment_from",
    "launch_fabric",
    "load_run",
    "train",
]
