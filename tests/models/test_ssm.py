import pytest
import torch

from spikescan.errors import InputError
from spikescan.models import create_model, sd_tcm, spiking_ssm
from spikescan.neurons.dsn import DSN
from spikescan.neurons.lif import LIF


def neuron(channels):
    return LIF()


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("inputs", "outputs", "arguments", "published"),
    [(135, 2, {}, 830e3), (18, 10, {"width": 128, "depth": 8, "place": "post"}, 272e3)],
    ids=["Text", "ListOps"],
)
def test_sd_tcm_has_the_published_sizes(inputs, outputs, arguments, published):
    """With the two parameters a channel that the paper's neuron has; its vocabularies have about 135 and 18 tokens."""
    model = sd_tcm(inputs, outputs, neuron=neuron, **arguments)
    of_neurons = 2 * arguments.get("width", 256) * arguments.get("depth", 6)
    assert count(model) + of_neurons == pytest.approx(published, rel=3e-3)


def test_an_sd_tcm_block_is_its_equation():
    torch.manual_seed(0)
    model = sd_tcm(3, 5, neuron=DSN, width=7, depth=1, norm="none").double()
    block = model.parts["block0"].parts
    token, channel = block["token"].module.parts, block["channel"].module.parts
    with torch.no_grad():
        channel["amplitude"].module.log_scale.fill_(0.3)
    u = 2.0 * torch.randn(6, 2, 7, dtype=torch.float64)
    r = u + token["linear"].module(token["neuron"](u)[0])
    spikes = (r >= 0.5).double()
    expected = r + channel["linear"].module(torch.exp(torch.tensor(0.3, dtype=torch.float64)) * spikes)
    torch.testing.assert_close(model.parts["block0"](u)[0], expected)
    assert 0.0 < spikes.mean() < 1.0


def test_the_norm_of_sd_tcm_stands_where_it_was_asked_for():
    def places(place):
        model = sd_tcm(3, 5, neuron=neuron, width=7, depth=1, place=place)
        return [
            name.removesuffix(".module")
            for name, part in model.named_modules()
            if isinstance(part, torch.nn.BatchNorm1d)
        ]

    assert places("pre") == ["block0.token.module.norm", "norm"]
    assert places("post") == ["block0.norm"]


def test_a_spiking_ssm_block_is_its_equation():
    torch.manual_seed(0)
    model = spiking_ssm(3, 5, neuron=DSN, width=7, depth=1, states=4).double().eval()
    parts = model.parts["block0"].module.parts
    with torch.no_grad():
        parts["threshold"].module.log_scale.uniform_(-1.0, 1.0)
    x = torch.randn(9, 2, 7, dtype=torch.float64)
    current = parts["mixer"](torch.nn.functional.layer_norm(x, (7,)))[0]
    thresholds = torch.exp(-parts["threshold"].module.log_scale)
    spikes, _ = parts["neuron"](current / thresholds)
    a, b = parts["linear"].module(spikes).chunk(2, dim=-1)
    torch.testing.assert_close(model.parts["block0"](x)[0], x + a * torch.sigmoid(b))
    assert spikes.any()


def test_spiking_ssm_has_the_parameters_of_its_parts():
    width, states, depth = 256, 64, 4
    s4d = width * (1 + 1 + 4 * states // 2)  # step and skip; decay, frequency and two parts of the weight for each mode
    block = s4d + width + 2 * width + 2 * width**2 + 2 * width  # threshold, norm, linear layer
    assert count(spiking_ssm(1, 10, neuron=neuron)) == depth * block + 2 * width + 2 * width + 10 * width + 10
    assert states == 64


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sd_tcm", {"place": "before"}, "place = 'before', expected 'pre' or 'post'"),
        ("sd_tcm", {"width": 0}, "width = 0"),
        ("spiking_ssm", {"states": 5}, "states = 5"),
        ("spiking_ssm", {"norm": "layr"}, "no norm 'layr'. Did you mean 'layer'"),
    ],
    ids=str,
)
def test_names_what_is_wrong(name, arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(name, inputs=3, outputs=5, neuron=neuron, **arguments)
