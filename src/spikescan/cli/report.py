"""spikescan report"""

from spikescan.analysis.report import report_run
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import load_any_run

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Write report.html into the run folder."""
    parser = command_parser("report")
    parser.add_argument("run", help="a run folder")
    path = report_run(load_any_run(parse(parser, arguments)["run"]))
    Console(highlight=False).print(f"Report: {path}", soft_wrap=True)
    return 0
