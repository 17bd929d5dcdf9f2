"""Loss and score of a kind of problem."""

from collections.abc import Callable

from spikescan.data.dataset import Dataset
from spikescan.names import choose_named
from spikescan.tasks.balance import balanced_class_weights
from spikescan.tasks.classification import Classification
from spikescan.tasks.regression import Imitation, Regression, StepRegression
from spikescan.tasks.step_classification import Language, StepClassification
from spikescan.tasks.task import Task

__all__ = [
    "Classification",
    "Imitation",
    "Language",
    "Regression",
    "StepClassification",
    "StepRegression",
    "Task",
    "balanced_class_weights",
    "list_tasks",
    "task_for",
    "task_type",
]

_TASKS: dict[str, Callable[..., Task]] = {
    "classification": Classification,
    "step_classification": StepClassification,
    "language": Language,
    "regression": Regression,
    "step_regression": StepRegression,
    "imitation": Imitation,
}


def list_tasks() -> list[str]:
    """The names that `task_type` knows."""
    return sorted(_TASKS)


def task_type(name: str) -> Callable[..., Task]:
    """The class of the task `name`; its arguments are the options of the task."""
    return choose_named("task", _TASKS, name)


def task_for(dataset: Dataset) -> str:
    """The name of the plain task for the targets of a dataset: classification or regression, a sample or a step."""
    kind = "regression" if dataset.classes is None else "classification"
    return f"step_{kind}" if dataset.has_step_targets else kind
