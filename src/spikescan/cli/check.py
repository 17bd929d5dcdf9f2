"""spikescan check"""

import json

from spikescan.analysis import Agreement, measure_split_agreement
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.runs import load_any_run
from spikescan.control import ControlRun, action_agreement
from spikescan.files import write_text
from spikescan.training import Run

__all__ = ["check_run", "exit_code", "run"]

_DIFFERS = 1


def run(arguments: list[str]) -> int:
    """Run test samples in parallel, in chunks and step by step."""
    parser = command_parser("check")
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--samples", type=int, default=500, help="how many samples of the test split, from its start")
    parser.add_argument("--chunk_sizes", type=list[int], default=[16, 100], help="time steps a chunk, a run for each")
    parser.add_argument("--episodes", type=int, default=5, help="of a control run: how many test episodes instead")
    given = parse(parser, arguments)
    loaded = load_any_run(given["run"])
    console = Console(highlight=False)
    if isinstance(loaded, ControlRun):
        actions = action_agreement(loaded, given["episodes"])
        console.print(actions.summary(), soft_wrap=True)
        return 0 if actions.holds else _DIFFERS
    agreement = check_run(loaded, given["samples"], given["chunk_sizes"])
    console.print(agreement.summary(), soft_wrap=True)
    return exit_code(agreement)


def check_run(loaded: Run, samples: int, chunk_sizes: list[int]) -> Agreement:
    """Measure the agreement and keep it in the run folder, where the report finds it."""
    agreement = measure_split_agreement(loaded.model, loaded.dataset.test, samples=samples, chunk_sizes=chunk_sizes)
    write_text(loaded.folder / "agreement.json", json.dumps(agreement.to_dict(), indent=2) + "\n")
    return agreement


def exit_code(agreement: Agreement) -> int:
    """0 if the law of models holds: no prediction differs, and no more spikes than rounding explains; else 1."""
    return 0 if agreement.holds else _DIFFERS
