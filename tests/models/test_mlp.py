import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import Dropout, LeakyReadout, MaxReadout, RateReadout, Residual
from spikescan.models import NORMS, READOUTS, create_model, mlp


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
    order = [type(part) for part in model.modules() if isinstance(part, nn.Linear | Dropout)]
    assert order == [nn.Linear, *[Dropout, nn.Linear] * (4 if residual == "membrane" else 3)]
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
