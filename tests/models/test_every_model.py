"""Every registered model, beside the laws: it takes any causal neuron, learns, keeps padding out, unrolls or says why not."""

import pytest
import torch
from torch import nn

from spikescan import InputError, backend, final_step, unroll
from spikescan.analysis import measure_energy
from spikescan.analysis.counting import walk_through
from spikescan.data import Batch, Split
from spikescan.models import create_model, list_models
from spikescan.neurons.base import spiking_neurons
from spikescan.neurons.registry import create_neuron, list_neurons, neuron_class

T, B, INPUTS, OUTPUTS = 5, 8, 2, 4
# Tiny arguments, and the sizes after the channels.
TINY = {
    "causal_transformer": ({"width": 16, "depth": 1, "heads": 2, "ratio": 2}, ()),
    "forecaster": ({"variables": 2, "width": 16, "depth": 2, "window": 2}, (2,)),
    "forecaster linear": ({"variables": 2, "width": 16, "depth": 1, "linear": 3}, (2,)),
    "mlp": ({"width": 16, "depth": 2, "window": 2, "dropout": 0.1}, ()),
    "mlp membrane": ({"width": 16, "depth": 2, "residual": "membrane"}, ()),
    "residual_mlp": ({"width": 16, "depth": 2, "hidden": 24, "window": 2, "dropout": 0.1}, ()),
    "sd_tcm": ({"width": 16, "depth": 1}, ()),
    "sequential_cnn": ({"height": 8, "width": 8, "hidden": 16, "convolutions": (1, 1)}, (8,)),
    "sew_resnet": ({"width": 8, "blocks": (1, 1), "stem": "cifar"}, (4, 4)),
    "spike_driven_transformer": ({"width": 16, "depth": 1, "ratio": 2}, (8, 8)),
    "spiking_ssm": ({"width": 16, "depth": 1, "states": 4}, ()),
    "vgg": ({"size": 4, "stages": ((8,), (8,)), "dropout": 0.1}, (4, 4)),
}
every_model = pytest.mark.parametrize("name", TINY)
SEQUENCES = [name for name, (_, space) in TINY.items() if not space]
IMAGES = [name for name, (_, space) in TINY.items() if space]
CAUSAL = [name for name in list_neurons() if neuron_class(name).causal]


def built(name, neuron="dsn"):
    torch.manual_seed(0)
    arguments, _ = TINY[name]
    return create_model(
        name.partition(" ")[0],
        inputs=INPUTS,
        outputs=OUTPUTS,
        neuron=lambda channels: create_neuron(neuron, channels, T),
        **arguments,
    )


def given(name, batch=B):
    generator = torch.Generator().manual_seed(1)
    return 2.0 * torch.randn(T, batch, INPUTS, *TINY[name][1], generator=generator)


def test_all_are_here():
    # `single` is one neuron, not a network: tests/models/test_single.py.
    assert {name.partition(" ")[0] for name in TINY} == set(list_models()) - {"single"}


@every_model
def test_one_output_a_class_at_every_step(name):
    y, _ = built(name)(given(name))
    assert y.shape == (T, B, OUTPUTS)
    assert y.std() > 0


@pytest.mark.parametrize("neuron", CAUSAL)
@torch.no_grad()
def test_any_causal_neuron_fits_and_streams(neuron):
    """In one model of sequences and one of images, so that each model meets several neurons."""
    index = CAUSAL.index(neuron)
    for names in (SEQUENCES, IMAGES):
        name = names[index % len(names)]
        model, x = built(name, neuron).double().eval(), given(name, 2).double()
        y, _ = model(x)
        state, steps = None, []
        for x_t in x:
            y_t, state = model.step(x_t, state)
            steps.append(y_t)
        torch.testing.assert_close(torch.stack(steps), y, rtol=1e-9, atol=1e-9, msg=f"{name} by steps")


@every_model
def test_learns_labels_by_heart(name):
    """The loss falls to a third of its first value at most."""
    model, x = built(name), given(name)
    labels = torch.arange(B) % OUTPUTS
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        y, _ = model(x)
        loss = nn.functional.cross_entropy(final_step(y), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) / 3 < losses[0] / 3, losses


@every_model
def test_padding_enters_no_batch_statistics(name):
    """Trained on padded samples, a norm ends with the statistics of their valid steps."""
    lengths, x = torch.tensor([T, 2]), given(name, 2)
    statistics = []
    for garbage in (0.0, 1e3, torch.nan):
        x[2:, 1] = garbage
        model = built(name).train()
        torch.manual_seed(2)  # the same dropout
        y, _ = model(x, None, lengths)
        assert not y[2:, 1].any()
        statistics.append(dict(model.named_buffers()))
    for other in statistics[1:]:
        torch.testing.assert_close(other, statistics[0], rtol=0.0, atol=0.0)


REFUSED = {
    "forecaster": r"standardised \(Standardised\) cannot be unrolled",
    "forecaster linear": r"forecast\.module \(Standardised\) cannot be unrolled",
    "causal_transformer": r"block0\.attention\.module\.attention \(SpikeAttention\) cannot be unrolled",
    "residual_mlp": r"block1\.module\.in \(Linear\) cannot be unrolled: block0\.module\.out",
    "sd_tcm": r"block0\.channel\.module\.amplitude \(Scale\) cannot be unrolled",
    "spike_driven_transformer": r"block0\.attention\.module\.attention \(SpikeAttention\) cannot be unrolled",
    "spiking_ssm": r"block0\.module\.mixer \(S4D\) cannot be unrolled",
}


@every_model
@torch.no_grad()
def test_unrolls_or_is_refused_by_name(name):
    model, x = built(name).double().eval(), given(name).double()
    if name in REFUSED:
        with pytest.raises(InputError, match=f"unroll: {REFUSED[name]}"):
            unroll(model)
        return
    unrolled = unroll(model)
    y, state = model(x)
    torch.testing.assert_close(unrolled(x)[0], y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(unrolled(x)[1], state, rtol=1e-12, atol=1e-12)
    _, between = unrolled(x[:2], unrolled.initial_state(x[0]))
    torch.testing.assert_close(unrolled(x[2:], between)[0], y[2:], rtol=1e-12, atol=1e-12)
    assert y.any()


@every_model
def test_every_operation_is_counted(name):
    """The walk that counts does what the model does, to the bit, with padding as well."""
    model, x, lengths = built(name).eval(), given(name), torch.tensor([T, 2, 1, T, 4, 3, T, 1])
    with torch.no_grad():
        walked, layers = walk_through(model, Batch(x, torch.zeros(B), lengths))
        assert torch.equal(walked, model(x, None, lengths)[0])
    weighted = [part for part in model.modules() if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d)]
    assert sum(layer.takes_spikes is not None for layer in layers if layer.kind != "SpikeAttention") == len(weighted)
    assert sum(layer.role == "neurons" for layer in layers) == len(spiking_neurons(model))


@pytest.mark.parametrize("neuron", list_neurons())
def test_every_neuron_is_counted_by_its_cost(neuron):
    model, x = built("mlp", neuron), given("mlp", 2)
    with backend("reference"):  # whose kernels need no compiling
        energy = measure_energy(model, Split(x.transpose(0, 1), torch.zeros(2, dtype=torch.int64)))
    counted = {layer.name: layer for layer in energy.layers if layer.role == "neurons"}
    assert counted.keys() == spiking_neurons(model).keys()
    for name, part in spiking_neurons(model).items():
        cost, operations = part.cost(), counted[name].operations
        assert operations.multiplications == pytest.approx(T * 16 * cost.multiplications)
        assert operations.additions == pytest.approx(T * 16 * cost.additions)
        assert operations.shifts == pytest.approx(T * 16 * cost.shifts)
        assert operations.transcendentals == pytest.approx(T * 16 * cost.transcendentals)
        assert counted[name].state_bytes == pytest.approx(T * 16 * 2 * cost.state_bytes)
    heard = {layer.name: layer for layer in energy.layers}["block1.linear"]
    assert heard.operations.accumulates == pytest.approx(16 * counted["block0.neuron"].spikes)
