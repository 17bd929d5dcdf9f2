"""spikescan energy"""

import json
from pathlib import Path
from typing import Any, Literal

import torch

from spikescan import control
from spikescan.analysis.energy import CONSTANTS, Energy, LayerEnergy, find_constants, measure_energy
from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.cli.text import amount, columns
from spikescan.control import ControlRun, is_control
from spikescan.control.play import play, seeds
from spikescan.data import Split
from spikescan.errors import InputError
from spikescan.files import write_text
from spikescan.training import Run, load_run
from spikescan.training.run import read_config

__all__ = ["run", "show_energy"]

_EPISODES = 20


def run(arguments: list[str]) -> int:
    """Count the operations of a run on real samples; write energy.json and energy.csv into its folder."""
    parser = command_parser("energy")
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--split", type=Literal["test", "validation", "train"], default="test", help="which samples")
    parser.add_argument(
        "--samples",
        type=int,
        default=None,
        help=f"how many, spread evenly over the split; all if left out. Of a control run: episodes, {_EPISODES} if left out",
    )
    parser.add_argument("--batch_size", type=int, default=100, help="samples at once")
    parser.add_argument("--constants", default="fp32", help=f"energies of single operations: {', '.join(CONSTANTS)}")
    parser.add_argument("--last", type=bool, default=False, help="weights of the last epoch, not of the best one")
    given = parse(parser, arguments)
    constants = find_constants(given["constants"])
    loaded, split, samples = _of_control(given) if is_control(read_config(Path(given["run"]))) else _of_data(given)
    energy = measure_energy(
        loaded.model, split, samples=given["samples"], batch_size=given["batch_size"], constants=constants
    )
    write_text(
        loaded.folder / "energy.json", json.dumps({"split": given["split"], **energy.to_dict()}, indent=2) + "\n"
    )
    write_text(loaded.folder / "energy.csv", energy.to_csv())
    console = Console(highlight=False)
    console.print(
        f"{energy.samples:,} {samples}, weights of epoch {loaded.epoch}; all numbers are means a sample of "
        f"{energy.steps:,.4g} steps.",
        soft_wrap=True,
    )
    show_energy(console, energy)
    return 0


def _of_data(given: dict[str, Any]) -> tuple[Run, Split, str]:
    """The run, what it is counted on, and what that is called."""
    loaded = load_run(given["run"], last=given["last"])
    return (
        loaded,
        getattr(loaded.dataset, given["split"]),
        f"samples of the {given['split']} split of {loaded.dataset.name}",
    )


def _of_control(given: dict[str, Any]) -> tuple[ControlRun, Split, str]:
    """The same of a control run, whose samples are what its actor sees in episodes."""
    if given["split"] == "train":
        raise InputError(f"energy: {given['run']} is a run of a control task; its splits are test and validation.")
    episodes = _EPISODES if given["samples"] is None else given["samples"]
    if episodes < 1:
        raise InputError(f"energy: samples is {episodes}, expected at least 1 episode.")
    loaded = control.load_run(given["run"], last=given["last"])
    played = play(loaded.model, loaded.experiment, seeds(given["split"], episodes))
    observations = played.observations.transpose(0, 1).contiguous()
    split = Split(observations, torch.zeros(len(observations), dtype=torch.int64), played.lengths)
    return loaded, split, f"{given['split']} episodes of {loaded.experiment.environment['name']}"


def show_energy(console: Console, energy: Energy) -> None:
    """Print layers, operations and the comparison with the network without spikes."""
    for rows, words in ((_layers(energy), 2), (_kinds(energy), 1)):
        console.print(columns(rows, words), soft_wrap=True)
        console.print()
    roles = ", ".join(f"{role} {_joules(joules)}" for role, joules in energy.joules_by_role().items())
    rate = "no spikes" if energy.firing_rate is None else f"{energy.firing_rate:.4f} spikes a neuron and step"
    lines = [
        f"{_joules(energy.joules)} ({roles}); without spikes {_joules(energy.dense_joules)}; {rate}.",
        f"Not in it: {amount(energy.state_bytes)}B of state read and written, {_joules(energy.state_joules)} in a small "
        f"memory; weights and data that move. An estimate: docs/energy.md says what is counted.",
        f"Constants {energy.constants.name}: {energy.constants.source}",
    ]
    console.print("\n".join(lines), soft_wrap=True)


def _layers(energy: Energy) -> list[list[str]]:
    rows = [["layer", "kind", "rate", "not 0", "AC", "MAC", "other", "energy", "without spikes"]]
    for layer in energy.layers:
        operations = layer.operations
        other = operations.multiplications + operations.additions + operations.shifts + operations.transcendentals
        counts = [_some(count) for count in (operations.accumulates, operations.multiply_accumulates, other)]
        joules = [_joules(layer.joules), _joules(layer.dense_joules)]
        rows.append([layer.name, layer.kind, _rate(layer), _share(layer), *counts, *joules])
    return rows


def _kinds(energy: Energy) -> list[list[str]]:
    """What each kind of operation takes."""
    rows = [["operation", "pJ", "number", "energy", "without spikes", "energy"]]
    here, dense = energy.operations.to_dict(), energy.dense.to_dict()
    for kind, picojoules in energy.constants.by_kind().items():
        each = [(_some(counts[kind]), _joules(1e-12 * picojoules * counts[kind])) for counts in (here, dense)]
        rows.append([kind.replace("_", "-"), f"{picojoules:.3g}", *each[0], *each[1]])
    return rows


def _rate(layer: LayerEnergy) -> str:
    """A neuron and step."""
    return "" if layer.firing_rate is None else f"{layer.firing_rate:.4f}"


def _share(layer: LayerEnergy) -> str:
    return "" if layer.density is None else f"{layer.density:.1%}"


def _some(count: float) -> str:
    return amount(count) if count else ""


def _joules(value: float) -> str:
    """1.5e-6 as ``1.5 uJ``."""
    for factor, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ"), (1e-12, "pJ")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return "0" if value == 0 else f"{value:.1e} J"
