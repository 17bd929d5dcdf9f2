"""spikescan show"""

import inspect
from pathlib import Path
from typing import Any

import torch

from spikescan.analysis.response import draw_responses
from spikescan.analysis.theme import svg
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.text import cost_in_words, limits_in_words
from spikescan.errors import InputError
from spikescan.files import write_text
from spikescan.neurons.registry import neuron_class
from spikescan.training.build import neuron_maker

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Print what a neuron is and what it costs, and draw how it answers to simple inputs."""
    parser = command_parser("show")
    parser.add_argument("neuron", help="a name (see list neurons)")
    parser.add_argument("--options", type=dict[str, Any], default={}, help="of the neuron, e.g. --options.tau 4.0")
    parser.add_argument("--time_steps", type=int, default=100, help="of each input")
    parser.add_argument("--output", help="where the picture goes; NEURON.svg if not given")
    given = parse(parser, arguments)
    name, steps = given["neuron"], given["time_steps"]
    if steps < 10:
        raise InputError(f"show: time_steps is {steps}, expected at least 10.")
    torch.manual_seed(0)  # some neurons start at random
    neuron = neuron_maker({**given["options"], "name": name}, steps)(1)
    path = Path(given["output"] or f"{name}.svg")
    write_text(path, svg(draw_responses(neuron, time_steps=steps)))
    console = Console(highlight=False, markup=False)
    console.print(inspect.getdoc(neuron_class(name)), soft_wrap=True)
    console.print(f"\n{limits_in_words(neuron)}\n{cost_in_words(neuron.cost())}\nPicture: {path}", soft_wrap=True)
    return 0
