"""What `spikescan` can do. The code of a command is imported when it runs, so that help and errors come at once."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["COMMANDS", "Command"]


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        usage: how to call it.
        summary: what it does, in a line.
        module: holds its function ``run(arguments: list[str]) -> int``, which returns the exit code.
    """

    usage: str
    summary: str
    module: str

    def load(self) -> Callable[[list[str]], int]:
        """Its function."""
        run: Callable[[list[str]], int] = importlib.import_module(self.module).run
        return run


COMMANDS = {
    "train": Command("train RECIPE", "train a recipe: a name (see list recipes) or a YAML file", "spikescan.cli.train"),
    "compare": Command(
        "compare RECIPE", "train many neurons at equal budget, with controls, into one table", "spikescan.cli.compare"
    ),
    "eval": Command("eval RUN", "loss, score and firing rates of a run on the test split", "spikescan.cli.evaluate"),
    "check": Command("check RUN", "hold the parallel pass against chunks and single steps", "spikescan.cli.check"),
    "stream": Command("stream RUN", "read time steps from a file or stdin, print each output", "spikescan.cli.stream"),
    "energy": Command("energy RUN", "operations and energy of a run, layer by layer", "spikescan.cli.energy"),
    "report": Command("report RUN", "write report.html into the run folder", "spikescan.cli.report"),
    "demo": Command("demo", "train the recipe smnist, check it pixel by pixel, write the report", "spikescan.cli.demo"),
    "import": Command(
        "import FILE", "read a neuron of SpikingJelly or snnTorch into one of ours", "spikescan.cli.import_"
    ),
    "list": Command("list KIND", "names and options: neurons, models, recipes, data, ...", "spikescan.cli.listing"),
    "show": Command("show NEURON", "equation, cost and a picture of a neuron's answers", "spikescan.cli.show"),
    "env": Command("env", "versions, machine, threads, and which backend each op uses and why", "spikescan.cli.env"),
}
