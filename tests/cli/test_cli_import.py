"""`spikescan import`: from a state dict of another library to a file of ours."""

import pytest
import torch

from spikescan import LIF, PSN, ParametricLIF
from spikescan.cli import main
from spikescan.peers import load_neuron, to_peer

LIF_FLAGS = ["--decay_input", "false", "--v_threshold", "0.5", "--v_reset", "none"]


@pytest.fixture
def network(tmp_path):
    """The state dict of a network with two neurons."""
    psn, plif = PSN(4), ParametricLIF(3.0)
    state = {f"layers.1.{name}": tensor for name, tensor in to_peer(psn, "spikingjelly").state.items()}
    state |= {f"layers.3.{name}": tensor for name, tensor in to_peer(plif, "spikingjelly").state.items()}
    torch.save(state, tmp_path / "network.pt")
    return tmp_path / "network.pt"


def imported(arguments, output):
    assert main(["import", *arguments, "--output", str(output)]) == 0
    return load_neuron(output)


def test_neurons_of_a_network(network, tmp_path, capsys):
    output = tmp_path / "neuron.safetensors"
    neuron = imported([str(network), "--neuron", "psn", "--prefix", "layers.1"], output)
    assert repr(neuron) == repr(PSN(4))
    assert f"Written: {output}" in capsys.readouterr().out
    flags = ["--neuron", "spikingjelly.ParametricLIFNode", "--prefix", "layers.3", *LIF_FLAGS]
    plif = imported([str(network), *flags], output)
    assert (plif.tau, plif.reset, plif.scale_input, plif.firing.threshold) == (pytest.approx(3.0), "soft", False, 0.5)


def test_a_neuron_without_numbers(tmp_path):
    output = tmp_path / "neuron.safetensors"
    lif = imported(["-", "--neuron", "LIFNode", "--tau", "2.5", *LIF_FLAGS], output)
    assert isinstance(lif, LIF)
    assert (lif.tau, lif.reset, lif.scale_input) == (2.5, "soft", False)
    hard = imported(["-", "--neuron", "if", "--v_threshold", "1.0", "--v_reset", "-0.5"], output)
    assert (hard.reset, hard.firing.threshold) == ("hard", 1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--neuron", "lif", "--tau", "2"], "spikingjelly.LIFNode needs --decay_input --v_threshold --v_reset"),
        (["--neuron", "lifnod"], "Did you mean 'lifnode'"),
        (["--neuron", "psn"], "its state dict holds bias, weight, but this one holds layers.1.bias"),
        (["--neuron", "psn", "--prefix", "layer.1"], "nothing below 'layer.1'"),
        (["--neuron", "psn", "--prefix", "layers.1", "--tau", "2"], "spikingjelly.PSN has no argument 'tau'"),
        (["--neuron", "if", "--v_threshold", "1", "--v_reset", "soft"], "--v_reset is 'soft'"),
        (["--neuron", "leaky"], "snntorch.Leaky needs --reset_delay"),
        (["--neuron", "leaky", "--reset_delay", "true"], "snntorch.Leaky: its state dict holds beta"),
        (["--nueron", "psn"], "neuron"),
    ],
)
def test_what_a_user_can_mend(network, tmp_path, capsys, arguments, message):
    output = tmp_path / "neuron.safetensors"
    assert main(["import", str(network), *arguments, "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("spikescan: ")
    assert error.count("\n") == 1
    assert not output.exists()


def test_files_that_do_not_fit(network, tmp_path, capsys):
    assert main(["import", str(network), "--neuron", "psn", "--output", str(tmp_path / "neuron.pt")]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err
    output = str(tmp_path / "neuron.safetensors")
    assert main(["import", "nowhere.pt", "--neuron", "psn", "--output", output]) == 2
    assert "There is no file nowhere.pt" in capsys.readouterr().err
    nowhere = str(tmp_path / "nowhere" / "neuron.safetensors")
    assert main(["import", str(network), "--neuron", "psn", "--prefix", "layers.1", "--output", nowhere]) == 2
    assert f"No such file or directory: {nowhere}" in capsys.readouterr().err
