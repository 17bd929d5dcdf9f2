"""Loss and score of a kind of problem."""

from collections.abc import Callable

from spikescan.names import choose_named
from spikescan.tasks.classification import Classification
from spikescan.tasks.task import Task

__all__ = ["Classification", "Task", "list_tasks", "task_type"]

_TASKS: dict[str, Callable[..., Task]] = {"classification": Classification}


def list_tasks() -> list[str]:
    """The names that `task_type` knows."""
    return sorted(_TASKS)


def task_type(name: str) -> Callable[..., Task]:
    """The class of the task `name`; its arguments are the options of the task."""
    return choose_named("task", _TASKS, name)
