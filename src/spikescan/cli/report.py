"""spikescan report"""

from pathlib import Path

from rich.console import Console

from spikescan.analysis import write_report
from spikescan.cli.parsing import command_parser, parse

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Write report.html into the run folder."""
    parser = command_parser("report")
    parser.add_argument("run", help="a run folder")
    path = write_report(Path(parse(parser, arguments)["run"]))
    Console(highlight=False).print(f"Report: {path}", soft_wrap=True)
    return 0
