"""spikescan demo"""

from pathlib import Path

from rich.console import Console

from spikescan.analysis import write_report
from spikescan.cli.check import check_run
from spikescan.cli.evaluate import run as run_eval
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.train import default_folder, load_recipe, train_and_show

__all__ = ["run"]

_DIFFERS = 1


def run(arguments: list[str]) -> int:
    """Train, evaluate on the test split, check pixel by pixel, write the report."""
    parser = command_parser("demo")
    parser.add_argument("--recipe", default="smnist", help="what to train")
    parser.add_argument("--run", type=str | None, help="the run folder to make; else runs/RECIPE-TIME")
    parser.add_argument("--samples", type=int, default=500, help="how many test samples to run step by step")
    given = parse(parser, arguments)
    folder = Path(given["run"]) if given["run"] else default_folder(given["recipe"])
    console = Console(highlight=False)

    console.rule("Training, in parallel over time")
    train_and_show(load_recipe(given["recipe"], {}), folder, resume=False)
    console.rule("Test split")
    run_eval([str(folder)])
    console.rule("The same images, one time step at a time")
    agreement = check_run(folder, given["samples"], chunk_sizes=[100])
    console.print(agreement.summary())
    console.rule("Report")
    console.print(f"Report: {write_report(folder).resolve()}", soft_wrap=True)
    return _DIFFERS if any(way.predictions.differing for way in agreement.ways) else 0
