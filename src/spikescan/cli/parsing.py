"""Command lines, by jsonargparse."""

import argparse
import re
from typing import Any

from jsonargparse import ArgumentParser

from spikescan.cli.commands import COMMANDS
from spikescan.errors import InputError
from spikescan.names import nearest

__all__ = ["command_parser", "parse"]


def command_parser(name: str) -> ArgumentParser:
    """A parser for the arguments of one command, which raises instead of exiting."""
    return ArgumentParser(
        prog=f"spikescan {name}", description=COMMANDS[name].summary, exit_on_error=False, allow_abbrev=False
    )


def parse(parser: ArgumentParser, arguments: list[str], *, defaults: bool = True) -> dict[str, Any]:
    """The values by name; without `defaults`, those alone that the command line gives.

    Raises:
        InputError: an argument that does not exist, with the nearest that does; or a value of the wrong type.
    """
    try:
        return parser.parse_args(arguments, defaults=defaults).as_dict()
    except argparse.ArgumentError as error:
        message = " ".join(str(error).split())
        unknown = re.search(r"unrecognized arguments: --([\w.]+)", message)
        known = [action.dest for action in parser._actions]  # argparse has no public list of them
        named = re.search(r'"(\w+)": Expected a <class \'dict\'>\. Got value: (\w+)$', message)
        if named:
            raise InputError(f"--{named[1]} takes a name and options. Write --{named[1]}.name {named[2]}.") from error
        hint = f" {nearest(unknown[1], known)}See {parser.prog} --help." if unknown else f" See {parser.prog} --help."
        raise InputError(f"{message.removeprefix('Parser key ')}.{hint}") from error
