"""From the command line to a command, and from what a user can mend to one line on stderr."""

import argparse
import os
import sys
from collections.abc import Sequence

from spikescan.cli.commands import COMMANDS
from spikescan.errors import BackendError, InputError
from spikescan.names import choose_named

__all__ = ["main"]

_USAGE_ERROR = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows ``spikescan`` on the command line; None reads it there.

    Returns:
        The exit code: 0; 1 if `check` found a prediction that differs; 2 for what the user can mend; 130 for Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("SPIKESCAN_DEBUG", "") not in ("", "0")
    given = [argument for argument in given if argument != "--debug"]
    try:
        return _run(given)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, say) has gone; closing stdout again at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, BackendError, OSError, MemoryError, argparse.ArgumentError, ModuleNotFoundError) as error:
        broken_install = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("spikescan")
        if debug or broken_install:
            raise
        sys.stderr.write(f"spikescan: {_one_line(error)}\n")
        return _USAGE_ERROR


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0 if arguments else _USAGE_ERROR
    name, *rest = arguments
    if name == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"spikescan {version('spikescan')}\n")
        return 0
    return choose_named("command", COMMANDS, name).load()(rest)


def _help() -> str:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"  {command.usage:<{width}}  {command.summary}" for command in COMMANDS.values()]
    return "\n".join(
        [
            "usage: spikescan COMMAND ...",
            "",
            "Train spiking neural networks in parallel over time, run them step by step, with the same spikes.",
            "",
            *lines,
            "",
            "spikescan COMMAND --help shows its options. --debug (or SPIKESCAN_DEBUG=1) shows tracebacks.",
            "",
        ]
    )


def _one_line(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed, which this command needs: pip install 'spikescan[train]'"
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}"
    if isinstance(error, MemoryError):
        return f"There is not enough memory for this: {error or 'none is left'}"
    return " ".join(str(error).split())
