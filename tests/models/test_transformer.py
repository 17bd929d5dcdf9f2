import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import DecayingSum, SpikeAttention
from spikescan.models import causal_transformer, create_model, spike_driven_transformer
from spikescan.neurons.base import Neuron
from spikescan.neurons.lif import LIF


def neuron(channels):
    return LIF()


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_spike_driven_transformer_has_the_published_size():
    """8-512 for ImageNet: 29.7 M."""
    model = spike_driven_transformer(3, 1000, neuron=neuron, width=512, depth=8, pools=4)
    block = 12 * 512**2 + (4 + 1) * 512 + 512 + 2 * 512 * (4 + 4 + 1)  # weights, biases, norms
    assert count(model) == pytest.approx(29.7e6, rel=1e-3)
    assert count(model.parts["block0"]) == block


@pytest.mark.parametrize(("pools", "side"), [(0, 16), (2, 4), (4, 1)])
def test_the_last_convolutions_halve_the_image(pools, side):
    model = spike_driven_transformer(2, 5, neuron=neuron, width=8, depth=1, ratio=1, pools=pools).eval()
    shapes = []
    model.parts["position"].register_forward_hook(lambda *called: shapes.append(tuple(called[-1][0].shape)))
    assert model(torch.randn(2, 3, 2, 16, 16))[0].shape == (2, 3, 5)
    assert shapes == [(2, 3, 8, side, side)]


def test_every_weight_after_the_patches_sees_spikes():
    """Masks and additions: no layer multiplies two real numbers but the first."""
    torch.manual_seed(0)
    model = spike_driven_transformer(2, 5, neuron=neuron, width=16, depth=2, ratio=2).eval()
    seen = {}
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_pre_hook(lambda part, given, name=name: seen.update({name: given[0]}))
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.fill_(3.0)
                part.bias.fill_(1.0)
        model(3.0 * torch.randn(3, 2, 2, 8, 8))
    first, *later = seen
    assert first == "patch0.conv.module"
    assert len(later) == 4 + 2 * 6 + 1
    for name in later:
        assert set(seen[name].unique().tolist()) <= {0.0, 1.0}, name
    assert sum(bool(seen[name].any()) for name in later) > len(later) // 2


def test_convolutions_start_as_published():
    torch.manual_seed(0)
    model = spike_driven_transformer(3, 5, neuron=neuron, width=64, depth=1)
    for part in model.modules():
        if isinstance(part, nn.Conv2d) and part.weight.numel() > 5000:
            assert part.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert part.bias is None or not part.bias.any()


def test_causal_transformer_spreads_the_decays_over_the_heads():
    model = causal_transformer(3, 5, neuron=neuron, width=6, depth=2, heads=3, time_constants=(4.0, 16.0))
    sums = [part for part in model.modules() if isinstance(part, DecayingSum)]
    assert len(sums) == 2
    for part in sums:
        constants = -1.0 / part.decay_logit.sigmoid().log()
        torch.testing.assert_close(constants, torch.tensor([4.0, 8.0, 16.0]), rtol=1e-4, atol=0.0)
    fixed = causal_transformer(3, 5, neuron=neuron, width=6, depth=1, heads=3, learn_decay=False)
    assert not any("decay_logit" in name for name, _ in fixed.named_parameters())


def test_causal_transformer_has_neurons_on_every_weight_after_the_encoder():
    model = causal_transformer(3, 5, neuron=neuron, width=6, depth=2, heads=2)
    attention = [part for part in model.modules() if isinstance(part, SpikeAttention)]
    assert len(attention) == 2
    # A block has neurons before and after q, k and v, after the sum, and before both layers of the perceptron.
    assert sum(isinstance(part, Neuron) for part in model.modules()) == 2 * (1 + 3 + 1 + 2) + 1
    assert model(torch.randn(6, 2, 3))[0].shape == (6, 2, 5)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("spike_driven_transformer", {"width": 12}, "width = 12 .* multiple of 8"),
        ("spike_driven_transformer", {"pools": 5}, "pools = 5"),
        ("causal_transformer", {"width": 6, "heads": 4}, "channels = 6 is no multiple of heads = 4"),
        ("causal_transformer", {"depth": 0}, "depth = 0"),
        ("causal_transformer", {"norm": "layr"}, "no norm 'layr'. Did you mean 'layer'"),
    ],
    ids=str,
)
def test_names_what_is_wrong(name, arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(name, inputs=3, outputs=5, neuron=neuron, **arguments)
