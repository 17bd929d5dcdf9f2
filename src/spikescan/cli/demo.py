"""spikescan demo"""

from pathlib import Path

from spikescan.analysis.report import report_run
from spikescan.cli.check import check_run, exit_code
from spikescan.cli.console import Console
from spikescan.cli.evaluate import show_evaluation
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import load_recipe
from spikescan.cli.train import default_folder, train_and_show
from spikescan.errors import InputError
from spikescan.training import load_run

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Train, evaluate on the test split, check pixel by pixel, write the report."""
    parser = command_parser("demo")
    parser.add_argument("--recipe", default="smnist", help="what to train")
    parser.add_argument("--run", type=str | None, help="the run folder to make; else runs/RECIPE-TIME")
    parser.add_argument("--samples", type=int, default=500, help="how many test samples to run step by step")
    given = parse(parser, arguments)
    if given["samples"] < 1:  # said before the training, not after it
        raise InputError(f"demo: samples is {given['samples']}, expected at least 1.")
    folder = Path(given["run"]) if given["run"] else default_folder(given["recipe"])
    console = Console(highlight=False)

    console.rule("Training, in parallel over time")
    train_and_show(load_recipe(given["recipe"], {}), folder, resume=False)
    loaded = load_run(folder)
    console.rule("Test split")
    show_evaluation(console, loaded, "test", batch_size=256)
    console.rule("The same samples, one time step at a time")
    agreement = check_run(loaded, given["samples"], chunk_sizes=[100])
    console.print(agreement.summary(), soft_wrap=True)
    console.rule("Report")
    console.print(f"Report: {report_run(loaded, agreement=agreement).resolve()}", soft_wrap=True)
    return exit_code(agreement)
