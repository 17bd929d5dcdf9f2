"""spikescan env"""

from rich.table import Table

from spikescan import ops
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.training import describe_environment

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Versions, machine, threads, and the backend of each op."""
    parse(command_parser("env"), arguments)
    console = Console(highlight=False)
    for name, value in describe_environment().items():
        if isinstance(value, dict):
            value = ", ".join(f"{package} {version or '(not installed)'}" for package, version in value.items())
        console.print(f"{name}: {value if value else 'none'}", soft_wrap=True)
    table = Table("op", "device", "backend", "why")
    for row in ops.backend_report():
        table.add_row(*row)
    console.print(table)
    return 0
