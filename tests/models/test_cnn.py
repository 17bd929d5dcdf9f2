from itertools import pairwise

import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.models import create_model, sequential_cnn, sew_resnet, vgg
from spikescan.neurons.base import Neuron
from spikescan.neurons.lif import IF


def neuron(channels):
    return IF()


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


class Work:
    """Multiplications with weights, by layer, and neuron-steps of one run."""

    def __init__(self, model, x):
        self.synapses, self.neurons = [], 0
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                module.register_forward_hook(self.count_synapses)
            elif isinstance(module, Neuron):
                module.register_forward_hook(self.count_neurons)
        with torch.no_grad():
            model.eval()(x)

    def count_synapses(self, module, given, y):
        self.synapses.append(y.numel() * module.weight[0].numel())

    def count_neurons(self, module, given, result):
        self.neurons += result[0].numel()


def test_sequential_cnn_does_the_work_of_the_published_one():
    """1.18e6 multiplications on the image, 184.6e6 on spikes, 598,016 neuron-steps for one image of 32 columns."""
    work = Work(sequential_cnn(3, 10, neuron=neuron), torch.randn(32, 1, 3, 32))
    first, *later = work.synapses
    assert first == 1_179_648
    assert sum(later) == 184_631_296
    assert work.neurons == 598_016


def test_sequential_cnn_has_the_published_layers():
    model = sequential_cnn(3, 10, neuron=neuron)
    assert list(model.parts) == [
        *("stage0_0", "stage0_1", "stage0_2", "pool0", "stage1_0", "stage1_1", "stage1_2", "pool1"),
        *("flatten", "hidden", "neuron", "head", "readout"),
    ]
    hidden = model.parts["hidden"].module
    assert (hidden.in_features, hidden.out_features) == (1024, 256)
    convolutions = 128 * 3 * 3 + 5 * 128 * 128 * 3 + 6 * 2 * 128
    assert count(model) == convolutions + 1024 * 256 + 256 + 256 * 10 + 10


@pytest.mark.parametrize(("blocks", "parameters"), [((2, 2, 2, 2), 11_689_512), ((3, 4, 6, 3), 21_797_672)], ids=str)
def test_sew_resnet_has_the_parameters_of_resnet(blocks, parameters):
    assert count(sew_resnet(3, 1000, neuron=neuron, blocks=blocks)) == parameters


def test_sew_resnet_sends_whole_numbers_and_halves_the_image():
    model = sew_resnet(2, 5, neuron=neuron, blocks=(1, 2, 1), width=4).eval()
    shapes, values = [], []

    def look(part, given, result):
        shapes.append(tuple(result[0].shape[2:]))
        values.append(result[0])

    for name in ("stem", "pool", "stage0_0", "stage1_0", "stage1_1", "stage2_0"):
        model.parts[name].register_forward_hook(look)
    with torch.no_grad():
        y, _ = model(3.0 * torch.randn(3, 2, 2, 32, 32))
    assert y.shape == (3, 2, 5)
    assert shapes == [(4, 16, 16), (4, 8, 8), (4, 8, 8), (8, 4, 4), (8, 4, 4), (16, 2, 2)]
    assert all(torch.equal(value, value.round()) for value in values)
    assert max(value.max() for value in values) > 1  # sums of spikes, not spikes


def test_the_small_stem_keeps_the_size_of_the_image():
    model = sew_resnet(3, 5, neuron=neuron, blocks=(1,), width=4, stem="cifar").eval()
    assert "pool" not in model.parts
    assert model.parts["stem"](torch.randn(2, 1, 3, 8, 8))[0].shape == (2, 1, 4, 8, 8)


def test_vgg_has_the_published_layers():
    model = vgg(2, 10, neuron=neuron)
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert [name for name in model.parts if name.startswith("pool")] == ["pool0", "pool1", "pool2", "pool3"]
    assert model.parts["head"].module.in_features == 512 * 3 * 3
    assert model.parts["dropout"].module.p == 0.25
    widths = [2, *(part.out_channels for part in convolutions)]
    weights = sum(9 * before * after + 3 * after for before, after in pairwise(widths))
    assert count(model) == weights + 512 * 9 * 10 + 10


@pytest.mark.parametrize(
    "build", [lambda: sew_resnet(3, 10, neuron=neuron, blocks=(1, 1)), lambda: vgg(2, 10, neuron=neuron)]
)
def test_convolutions_keep_the_variance_of_gradients(build):
    torch.manual_seed(0)
    wide = [part for part in build().modules() if isinstance(part, nn.Conv2d) and part.weight.numel() > 5000]
    assert wide
    for part in wide:
        fan_out = part.out_channels * part.weight[0, 0].numel()
        assert abs(part.weight.var().item() * fan_out / 2.0 - 1.0) < 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sequential_cnn", {"height": 3}, "columns after the pools = 0"),
        ("sequential_cnn", {"width": 0}, "width = 0"),
        ("sew_resnet", {"stem": "imgnet"}, "stem = 'imgnet', expected 'imagenet' or 'cifar'"),
        ("sew_resnet", {"blocks": ()}, "stages = 0"),
        ("sew_resnet", {"blocks": (1, 0)}, r"blocks\[1\] = 0"),
        ("vgg", {"size": 15}, "image after the pools = 0"),
        ("vgg", {"readout": "rat"}, "no readout 'rat'. Did you mean 'rate'"),
    ],
    ids=str,
)
def test_names_what_is_wrong(name, arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(name, inputs=3, outputs=5, neuron=neuron, **arguments)
