"""Neurons of SpikingJelly and snnTorch, read from their state dicts, fire as those libraries did (tests/data/peers)."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from spikescan import InputError, Neuron
from spikescan.peers import PeerNeuron, from_peer, load_neuron, required_arguments, save_neuron, to_peer

FILES = sorted((Path(__file__).parents[1] / "data" / "peers").glob("*.npz"))
READABLE = [path for path in FILES if not ("subtract" in path.name and path.name.endswith("_0.npz"))]


class Recorded(NamedTuple):
    peer: PeerNeuron
    arguments: dict[str, Any]
    x: Tensor
    g: Tensor
    spikes: Tensor
    grad: Tensor


def recorded(path: Path) -> Recorded:
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        tensors = {name: torch.from_numpy(file[name]) for name in file.files if name != "about"}
    state = {name.removeprefix("state."): value for name, value in tensors.items() if name.startswith("state.")}
    given = {name: about["arguments"][name] for name in required_arguments(about["name"])}
    peer = PeerNeuron(about["name"], state, given)
    return Recorded(peer, about["arguments"], tensors["x"], tensors["g"], tensors["spikes"].float(), tensors["grad"])


def assert_fires_as(neuron: Neuron, peer: Recorded) -> None:
    x = peer.x.clone().requires_grad_()
    spikes, _ = neuron(x)
    assert torch.equal(spikes, peer.spikes)
    (grad,) = torch.autograd.grad((peer.g * spikes).sum(), x)
    torch.testing.assert_close(grad, peer.grad, rtol=1e-4, atol=1e-5)


def test_there_are_files() -> None:
    assert len(FILES) >= 30
    assert len(READABLE) == len(FILES) - 2


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_it_fires_and_learns_as_its_peer(path: Path) -> None:
    peer = recorded(path)
    assert_fires_as(from_peer(peer.peer), peer)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_it_goes_to_its_peer_and_back(path: Path) -> None:
    peer = recorded(path)
    neuron = from_peer(peer.peer)
    if getattr(neuron, "reset", "soft") is None and peer.peer.name.startswith("spikingjelly"):
        return
    if path.stem.startswith("Leaky_zero") and path.stem.endswith(
        "_0"
    ):  # written with a reset that is late, but the same
        neuron.detach_reset = True  # type: ignore[assignment]
        peer = recorded(path.with_name(path.name.replace("_0.npz", "_1.npz")))
    written = to_peer(neuron, "snntorch" if peer.peer.name.startswith("snntorch") else "spikingjelly")
    assert written.name == peer.peer.name
    assert {name: tensor.shape for name, tensor in written.state.items()} == {
        name: tensor.shape for name, tensor in peer.peer.state.items()
    }
    for name, tensor in written.state.items():
        torch.testing.assert_close(tensor, peer.peer.state[name], rtol=3e-7, atol=0.0, msg=name)
    assert_fires_as(from_peer(written), peer)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_it_is_the_same_from_a_file(path: Path, tmp_path: Path) -> None:
    peer = recorded(path)
    save_neuron(from_peer(peer.peer), tmp_path / "neuron.safetensors")
    assert_fires_as(load_neuron(tmp_path / "neuron.safetensors"), peer)


@pytest.mark.parametrize("path", [path for path in FILES if path not in READABLE], ids=lambda path: path.stem)
def test_a_reset_that_fires_twice_is_refused_by_name(path: Path) -> None:
    with pytest.raises(InputError, match=r"snntorch.Leaky: 'subtract' with reset_delay=False"):
        from_peer(recorded(path).peer)
