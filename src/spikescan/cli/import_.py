"""spikescan import"""

from pathlib import Path
from typing import Any

from spikescan.cli.console import Console
from spikescan.cli.parsing import command_parser, parse
from spikescan.errors import InputError
from spikescan.names import choose_named
from spikescan.peers import PeerNeuron, below, from_peer, list_peers, read_state, required_arguments, save_neuron

__all__ = ["run"]

_NO_VALUES = ("spikingjelly.IFNode", "spikingjelly.LIFNode")  # their state dicts are empty
_FLAGS: dict[str, tuple[Any, str]] = {
    "tau": (float | None, "time constant in steps"),
    "decay_input": (bool | None, "SpikingJelly: whether the input is divided by tau"),
    "v_threshold": (float | None, "SpikingJelly: the threshold"),
    "v_reset": (str | None, "SpikingJelly: the voltage of the hard reset; none for the soft reset"),
    "reset_delay": (bool | None, "snnTorch: whether the reset comes one step after the spike (its default)"),
}


def run(arguments: list[str]) -> int:
    """Read one neuron of another library and write it as one of ours."""
    parser = command_parser("import")
    parser.add_argument(
        "file", help="a state dict: .safetensors, .npz, .pt (read as weights only); - for one that is empty"
    )
    parser.add_argument("--neuron", type=str, required=True, help=f"what it is of: {', '.join(list_peers())}")
    parser.add_argument("--prefix", default="", help="its module in a network, such as layers.3")
    parser.add_argument(
        "--output", type=str, required=True, help="the .safetensors file to write, for peers.load_neuron"
    )
    for name, (kind, words) in _FLAGS.items():
        parser.add_argument(f"--{name}", type=kind, help=words)
    given = parse(parser, arguments)
    name = _peer_name(given["neuron"])
    _check_output(given["output"])
    options = {flag: given[flag] for flag in _FLAGS if given[flag] is not None}
    if "v_reset" in options:
        options["v_reset"] = _voltage(options["v_reset"])
    missing = [f"--{flag}" for flag in required_arguments(name) if flag not in options]
    if missing:
        raise InputError(
            f"{name} needs {' '.join(missing)}: a state dict does not hold what the neuron was built with."
        )
    state = {} if given["file"] == "-" else below(read_state(given["file"]), given["prefix"])
    if name in _NO_VALUES:
        state = {}  # a file of the whole network holds nothing of it
    neuron = from_peer(PeerNeuron(name, state, options))
    save_neuron(neuron, given["output"])
    console = Console(highlight=False, markup=False)
    console.print(f"{name}: {neuron}", soft_wrap=True)
    console.print(f"Written: {given['output']}", soft_wrap=True)
    return 0


def _peer_name(name: str) -> str:
    """With its library; a class's name alone will do, in any case, and so will ours."""
    short = {peer.partition(".")[2].lower(): peer for peer in list_peers()}
    ours = {
        "if": "spikingjelly.IFNode",
        "lif": "spikingjelly.LIFNode",
        "parametric_lif": "spikingjelly.ParametricLIFNode",
        "masked_psn": "spikingjelly.MaskedPSN",
        "sliding_psn": "spikingjelly.SlidingPSN",
    }
    known = {peer: peer for peer in list_peers()} | short | ours
    return choose_named("peer neuron", known, name if name in known else name.lower())


def _check_output(output: str) -> None:
    if Path(output).suffix != ".safetensors":
        raise InputError(f"--output is {output}, expected a path that ends in .safetensors.")


def _voltage(text: str) -> float | None:
    """A number, or None.

    Raises:
        InputError: it is neither.
    """
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--v_reset is {text!r}, expected a voltage, or none for the soft reset.") from None
