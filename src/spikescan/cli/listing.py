"""spikescan list"""

from collections.abc import Callable
from typing import Any

from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.text import cost_in_words, first_line, limits_in_words, options
from spikescan.names import choose_named

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Names, what they are, and the options each takes."""
    parser = command_parser("list")
    parser.add_argument("kind", help=", ".join(_KINDS))
    rows = choose_named("list of", _KINDS, parse(parser, arguments)["kind"])
    console = Console(highlight=False, markup=False)
    for name, summary, choices in rows():
        console.print(f"{name}: {summary}", soft_wrap=True)
        if choices:
            console.print(f"    {choices}", soft_wrap=True)
    return 0


Row = tuple[str, str, str]
_TIME_STEPS = 32  # for which the cost of neurons bound to a number of steps is shown


def _rows(names: list[str], find: Callable[[str], Callable[..., Any]], skip: tuple[str, ...] = ()) -> list[Row]:
    return [(name, first_line(find(name)), options(find(name), skip)) for name in names]


def _neurons() -> list[Row]:
    from spikescan.neurons.registry import create_neuron, list_neurons, neuron_class

    def about(name: str) -> str:
        neuron = create_neuron(name, channels=1, time_steps=_TIME_STEPS)
        return f" [{limits_in_words(neuron)}; {cost_in_words(neuron.cost())}]"

    rows = _rows(list_neurons(), neuron_class, skip=("channels", "time_steps"))
    return [(name, summary + about(name), choices) for name, summary, choices in rows]


def _models() -> list[Row]:
    from spikescan.models import list_models, model_builder

    return _rows(list_models(), model_builder, skip=("inputs", "outputs", "neuron"))


def _recipes() -> list[Row]:
    from spikescan.recipes import find_recipe, list_recipes

    def about(name: str) -> str:
        return find_recipe(name).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")

    return [(name, about(name), "") for name in list_recipes()]


def _data() -> list[Row]:
    from spikescan.data import data_loader, list_data

    return _rows(list_data(), data_loader)


def _tasks() -> list[Row]:
    from spikescan.tasks import list_tasks, task_type

    return _rows(list_tasks(), task_type)


def _actors() -> list[Row]:
    from spikescan.control.actors import actor_builder, list_actors

    return _rows(list_actors(), actor_builder, skip=("inputs", "outputs", "neuron"))


def _algorithms() -> list[Row]:
    from spikescan.control.td3 import TD3

    return _rows(["td3"], lambda name: TD3)


def _optimisers() -> list[Row]:
    from spikescan.training.optimisers import list_optimisers, optimiser_maker

    return _rows(list_optimisers(), optimiser_maker, skip=("model",))


def _schedules() -> list[Row]:
    from spikescan.training.schedules import list_schedules, schedule_maker

    return _rows(list_schedules(), schedule_maker)


_KINDS: dict[str, Callable[[], list[Row]]] = {
    "neurons": _neurons,
    "models": _models,
    "recipes": _recipes,
    "data": _data,
    "tasks": _tasks,
    "optimisers": _optimisers,
    "schedules": _schedules,
    "actors": _actors,
    "algorithms": _algorithms,
}
