"""What is refused, what conversion keeps, and files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from spikescan import (
    DSN,
    IF,
    LIF,
    PSN,
    Binary,
    CheckpointError,
    DataError,
    DelayedResetLIF,
    InputError,
    Integer,
    MaskedPSN,
    Neuron,
    ParametricLIF,
    Sigmoid,
    SlidingPSN,
    create_neuron,
    list_neurons,
)
from spikescan.peers import PeerNeuron, below, from_peer, list_peers, load_neuron, read_state, save_neuron, to_peer

LEAKY = {
    "threshold": torch.tensor(1.0),
    "beta": torch.tensor(0.5),
    "graded_spikes_factor": torch.tensor(1.0),
    "reset_mechanism_val": torch.tensor(1),
}
NODE = {"tau": 2.0, "decay_input": True, "v_threshold": 1.0, "v_reset": None}
MASKED = to_peer(MaskedPSN(4, 2), "spikingjelly").state


def leaky(**changes: Tensor) -> PeerNeuron:
    return PeerNeuron("snntorch.Leaky", LEAKY | changes, {"reset_delay": True})


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        (PeerNeuron("spikingjelly.LIFnode"), "Did you mean 'spikingjelly.LIFNode'"),
        (PeerNeuron("spikingjelly.LIFNode", {}, {"tau": 2.0}), "does not hold decay_input, v_threshold, v_reset"),
        (PeerNeuron("spikingjelly.LIFNode", {}, NODE | {"taw": 2.0}), "has no argument 'taw'. Did you mean 'tau'"),
        (PeerNeuron("spikingjelly.LIFNode", {"w": torch.tensor(0.0)}, NODE), "holds nothing, but this one holds w"),
        (PeerNeuron("spikingjelly.PSN", {"weight": torch.eye(3)}), "holds bias, weight, but this one holds weight"),
        (PeerNeuron("spikingjelly.PSN", {"weight": torch.eye(3), "bias": torch.zeros(2, 1)}), r"\[T, T\] and \[T, 1\]"),
        (
            PeerNeuron("spikingjelly.PSN", {"weight": torch.eye(3), "bias": torch.zeros(3, 1)}, {"T": 4}),
            "holds 3; leave it",
        ),
        (PeerNeuron("spikingjelly.SlidingPSN", {"weight": torch.eye(3), "bias": torch.zeros(())}), r"expected \[k\]"),
        (PeerNeuron("spikingjelly.MaskedPSN", MASKED | {"mask0": torch.eye(4).flip(0)}), "not the band M_k"),
        (leaky(beta=torch.tensor([0.5, 0.6])), r"beta is \[2\] with 2 values"),
        (leaky(threshold=torch.tensor([1.0, 2.0])), "threshold is"),
        (leaky(graded_spikes_factor=torch.tensor(2.0)), "multiply the weights that follow"),
        (PeerNeuron("snntorch.Leaky", LEAKY), "does not hold reset_delay"),
        (PeerNeuron("snntorch.Leaky", LEAKY, {"reset_delay": True, "beta": 0.7}), "beta is given as 0.7"),
    ],
)
def test_what_cannot_be_read(peer: PeerNeuron, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_peer(peer)


@pytest.mark.parametrize(
    ("neuron", "library", "message"),
    [
        (LIF(firing=Integer(4)), "spikingjelly", "only Binary spikes"),
        (LIF(reset=None), "spikingjelly", "always reset"),
        (DSN(3, firing=Binary()), "spikingjelly", "has no DSN"),
        (SlidingPSN(3), "snntorch", "has no SlidingPSN"),
        (DelayedResetLIF(), "spikingjelly", "has no DelayedResetLIF"),
        (LIF(), "snntorch", "divides its input by tau"),
        (LIF(scale_input=False), "snntorch", "DelayedResetLIF does as it"),
        (LIF(), "snntorc", "Did you mean 'snntorch'"),
    ],
)
def test_what_cannot_be_written(neuron: Neuron, library: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_peer(neuron, library)  # type: ignore[arg-type]


def test_what_the_peer_cannot_know_survives_the_way_there_and_back() -> None:
    for neuron in (
        IF(reset="hard", firing=Binary(0.7, Sigmoid(4.0))),
        LIF(3.0, detach_reset=False, firing=Binary(0.7, Sigmoid(4.0))),
        ParametricLIF(3.0, scale_input=False, reset="hard", firing=Binary(0.7, Sigmoid(4.0))),
    ):
        again = from_peer(to_peer(neuron, "spikingjelly"))
        assert repr(again) == repr(neuron)
        assert again.detach_reset == neuron.detach_reset  # type: ignore[attr-defined]


def test_a_membrane_at_the_threshold_of_snntorch_stays_silent() -> None:
    """Inputs and decay are dyadic, so that the membrane is the threshold to the bit."""
    x = torch.tensor([0.5, 0.75, 0.5, 1.0, 1.0]).view(-1, 1, 1)
    for mechanism, expected in ((1, [0, 0, 0, 1, 0]), (2, [0, 0, 0, 1, 1]), (0, [0, 0, 0, 1, 0])):
        spikes, _ = from_peer(leaky(reset_mechanism_val=torch.tensor(mechanism)))(x)
        assert spikes.flatten().tolist() == expected
    spikes, _ = LIF(2.0, reset="hard", scale_input=False)(x)
    assert spikes.flatten().tolist() == [0, 1, 0, 1, 1]


def test_a_lambda_above_one_is_one() -> None:
    neuron = from_peer(PeerNeuron("spikingjelly.MaskedPSN", MASKED | {"_lambda_": torch.tensor(1.5)}))
    assert isinstance(neuron, MaskedPSN)
    assert (neuron.mask_weight, neuron.order, neuron.time_steps) == (1.0, 2, 4)


def test_there_is_a_name_for_each() -> None:
    assert [name.partition(".")[0] for name in list_peers()] == ["spikingjelly"] * 6 + ["snntorch"]


class TestFiles:
    STATE = {"layers.3.weight": torch.eye(2), "layers.3.bias": torch.zeros(2, 1), "layers.30.bias": torch.ones(1)}  # noqa: RUF012

    def write(self, folder: Path, suffix: str) -> Path:
        path = folder / f"state{suffix}"
        if suffix == ".npz":
            np.savez(path, **{name: tensor.numpy() for name, tensor in self.STATE.items()})
        elif suffix == ".safetensors":
            save_file(self.STATE, path)
        else:
            torch.save(self.STATE, path)
        return path

    @pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".pth"])
    def test_of_every_kind(self, suffix: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, suffix)
        torch.testing.assert_close(read_state(path), self.STATE)
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(DataError, match=f"state{suffix} is damaged"):
            read_state(path)

    def test_of_no_known_kind(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"not a \.safetensors"):
            read_state(tmp_path / "state.ckpt")
        with pytest.raises(DataError, match="There is no file"):
            read_state(tmp_path / "state.pt")
        torch.save([torch.ones(1)], tmp_path / "list.pt")
        with pytest.raises(DataError, match="no state dict"):
            read_state(tmp_path / "list.pt")

    def test_nothing_in_a_file_is_executed(self, tmp_path: Path) -> None:
        torch.save(PSN(3), tmp_path / "module.pt")
        with pytest.raises(DataError, match="more than named tensors"):
            read_state(tmp_path / "module.pt")

    def test_a_part_of_a_network(self) -> None:
        assert sorted(below(self.STATE, "layers.3")) == ["bias", "weight"]
        assert sorted(below(self.STATE, "layers.3.")) == ["bias", "weight"]
        assert below(self.STATE, "") == self.STATE
        with pytest.raises(InputError, match=r"nothing below 'layer.3'.*layers\.3, layers\.30"):
            below(self.STATE, "layer.3")
        assert isinstance(from_peer(PeerNeuron("spikingjelly.PSN", below(self.STATE, "layers.3"))), PSN)

    @pytest.mark.parametrize(
        "neuron",
        [DSN(3, kernel_size=2, tau=0.5, firing=Integer(2)), PSN(4), MaskedPSN(4, 2, mask_weight=0.5), SlidingPSN(3), IF(),
         LIF(reset=None, firing=Integer(3)), ParametricLIF(3.0, firing=Binary(0.3, Sigmoid(2.0))), DelayedResetLIF(4.0)],
        ids=lambda neuron: type(neuron).__name__,
    )  # fmt: skip
    def test_every_neuron_comes_back(self, neuron: Neuron, tmp_path: Path) -> None:
        for parameter in neuron.parameters():
            parameter.data.add_(0.1)
        save_neuron(neuron, tmp_path / "neuron.safetensors")
        again = load_neuron(tmp_path / "neuron.safetensors")
        assert repr(again) == repr(neuron)
        x = torch.randn(4, 2, 3)
        assert torch.equal(again(x)[0], neuron(x)[0])

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            *((name, {}) for name in list_neurons()),
            ("ilif", {"levels": 2, "decay": 0.9}),
            ("prf", {"learn_tau": True}),
            ("para_lif", {"learn_tau": True, "mode": "threshold"}),
            ("spsn", {"learn_tau": True, "generator": torch.Generator()}),
            ("mpe_psn", {"learnt_loss_steps": 5}),
        ],
        ids=lambda value: value if isinstance(value, str) else "-".join(value),
    )
    def test_every_registered_neuron_comes_back(self, name: str, options: dict[str, Any], tmp_path: Path) -> None:
        neuron = create_neuron(name, 3, 4, options).eval()
        save_neuron(neuron, tmp_path / "neuron.safetensors")
        again = load_neuron(tmp_path / "neuron.safetensors").eval()
        assert repr(again) == repr(neuron)
        assert [key for key, _ in again.named_parameters()] == [key for key, _ in neuron.named_parameters()]
        x = 2.0 * torch.randn(4, 2, 3)
        assert torch.equal(again(x)[0], neuron(x)[0])

    def test_a_neuron_in_float64_comes_back_so(self, tmp_path: Path) -> None:
        neuron = create_neuron("dsn", 3, 4, {}).double()
        save_neuron(neuron, tmp_path / "neuron.safetensors")
        again = load_neuron(tmp_path / "neuron.safetensors")
        assert torch.equal(again.weight, neuron.weight)
        assert again.weight.dtype == torch.float64

    def test_what_is_no_neuron(self, tmp_path: Path) -> None:
        path = tmp_path / "neuron.safetensors"
        with pytest.raises(CheckpointError, match="There is no file"):
            load_neuron(path)
        save_file({"weight": torch.ones(1)}, path)
        with pytest.raises(CheckpointError, match="has the format None"):
            load_neuron(path)
        path.write_bytes(b"\x00" * 20)
        with pytest.raises(CheckpointError, match="truncated"):
            load_neuron(path)
