import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import Dropout, LeakyReadout, Linear, MaxReadout, RateReadout, Residual
from spikescan.models import NORMS, READOUTS, create_model, mlp, residual_mlp


def neuron(channels):
    return LeakyReadout(channels)


def test_has_the_shapes_that_were_asked_for():
    model = mlp(3, 5, neuron=neuron, width=7, depth=4)
    y, _ = model(torch.randn(6, 2, 3))
    assert y.shape == (6, 2, 5)
    # 4 blocks of linear, norm and neuron, and the head
    blocks = (3 * 7 + 7) + 3 * (7 * 7 + 7) + 4 * (2 * 7) + 4 * 7
    assert sum(parameter.numel() for parameter in model.parameters()) == blocks + 7 * 5 + 5


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("readout", READOUTS)
def test_every_named_norm_and_readout_can_be_built(norm, readout):
    model = create_model("mlp", inputs=3, outputs=5, neuron=neuron, width=7, norm=norm, readout=readout)
    assert model(torch.randn(6, 2, 3))[0].shape == (6, 2, 5)


def test_takes_functions_as_well_as_names():
    model = mlp(3, 5, neuron=neuron, norm=nn.BatchNorm1d, readout=lambda outputs: MaxReadout())
    assert isinstance(model.parts["block0"].parts["norm"].module, nn.BatchNorm1d)
    assert isinstance(model.parts["readout"], MaxReadout)
    assert isinstance(mlp(3, 5, neuron=neuron).parts["readout"], RateReadout)


def test_residual_goes_around_each_block_but_the_first():
    model = mlp(3, 5, neuron=neuron, depth=3, residual=True)
    assert [isinstance(part, Residual) for part in model] == [False, True, True, False, False]


def test_the_membrane_shortcut_is_a_real_stream_that_passes_no_neuron():
    model = mlp(3, 5, neuron=neuron, width=7, depth=2, residual="membrane")
    assert list(model.parts) == ["encoder", "block0", "block1", "norm", "neuron", "head", "readout"]
    assert list(model.parts["block1"].module.parts) == ["norm", "neuron", "linear"]
    x = torch.randn(6, 2, 3)
    stream, _ = model.parts["encoder"](x)
    expected = stream + model.parts["block0"].module(stream)[0]
    assert torch.equal(model.parts["block0"](stream)[0], expected)
    assert model(x)[0].shape == (6, 2, 5)


@pytest.mark.parametrize("residual", [False, True, "membrane"])
def test_dropout_stands_before_every_linear_layer_that_sees_spikes(residual):
    model = mlp(3, 5, neuron=neuron, depth=3, residual=residual, dropout=0.3)
    order = [type(part) for part in model.modules() if isinstance(part, Linear | Dropout)]
    assert order == [Linear, *[Dropout, Linear] * (4 if residual == "membrane" else 3)]
    plain = mlp(3, 5, neuron=neuron, depth=3, residual=residual)
    assert list(plain.state_dict()) == list(model.state_dict())


def test_a_window_shows_the_first_layer_the_last_inputs():
    model = mlp(3, 5, neuron=neuron, width=7, depth=1, window=4)
    assert model.parts["block0"].parts["linear"].module.weight.shape == (7, 12)
    assert next(iter(model.parts)) == "window"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "layr"}, "no norm 'layr'. Did you mean 'layer'"),
        ({"readout": "rat"}, "no readout 'rat'. Did you mean 'rate'"),
        ({"depth": 0}, "depth = 0"),
        ({"window": 0}, "window = 0"),
        ({"residual": "membran"}, "residual = 'membran', expected True, False or 'membrane'"),
    ],
    ids=str,
)
def test_names_what_is_wrong(wrong, message):
    with pytest.raises(InputError, match=message):
        mlp(3, 5, neuron=neuron, **wrong)


def test_the_neurons_of_a_residual_mlp_listen_to_mixtures_of_the_stream():
    model = residual_mlp(3, 5, neuron=neuron, width=7, hidden=11, depth=2, window=4, dropout=0.3).eval()
    assert list(model.parts) == ["window", "encoder", "block0", "block1", "norm", "dropout", "head", "readout"]
    block = model.parts["block1"]
    assert list(block.module.parts) == ["in", "norm", "neuron", "dropout", "out"]
    stream = torch.randn(6, 2, 7)
    # written out: x + W_out neuron(norm(W_in x)) + b
    inward, norm, spiking, _, outward = block.module
    spikes, _ = spiking(nn.functional.layer_norm(stream @ inward.module.weight.T, (11,)))
    expected = stream + spikes @ outward.module.weight.T + outward.module.bias
    torch.testing.assert_close(block(stream)[0], expected)
    assert norm.module.weight.shape == (11,)
    # window x 3 inputs, 2 blocks, the last norm, the head
    blocks = 2 * (7 * 11 + 2 * 11 + 11 + 11 * 7 + 7)
    assert sum(each.numel() for each in model.parameters()) == 12 * 7 + 7 + blocks + 2 * 7 + 7 * 5 + 5


def test_a_residual_mlp_has_as_many_neurons_as_channels_unless_told():
    model = residual_mlp(3, 5, neuron=neuron, width=7, depth=1)
    assert list(model.parts) == ["encoder", "block0", "norm", "head", "readout"]
    assert model.parts["block0"].module.parts["in"].module.weight.shape == (7, 7)


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"window": 0}, {"hidden": 0}, {"width": 0}], ids=str)
def test_a_residual_mlp_names_what_is_wrong(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"residual_mlp: {name} = 0"):
        residual_mlp(3, 5, neuron=neuron, **wrong)
