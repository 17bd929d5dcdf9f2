"""Population coding against its formulas, and actors in parallel against themselves step by step."""

import numpy as np
import pytest
import torch

from spikescan import DSN, LIF
from spikescan.control.actors import GRUActor, ann
from spikescan.control.population import PopulationActor, PopulationDecoder, PopulationEncoder
from spikescan.errors import InputError


def test_receptive_fields_are_gaussians():
    encoder = PopulationEncoder(2, 10)
    x = np.array([[0.3, -2.0], [4.0, 0.0]])
    centres = -3.0 + 6.0 / 9.0 * np.arange(10)
    expected = np.exp(-((x[:, :, None] - centres) ** 2) / (2.0 * 0.15)).reshape(2, 20)
    np.testing.assert_allclose(encoder(torch.tensor(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-7)


def test_an_action_is_the_squashed_weighted_rate_of_its_own_population():
    decoder = PopulationDecoder(3, 4).double()
    rates = np.random.default_rng(0).random((5, 12))
    weight, bias = decoder.weight.detach().numpy(), decoder.bias.detach().numpy()
    expected = [[np.tanh(weight[i] @ row[4 * i : 4 * i + 4] + bias[i]) for i in range(3)] for row in rates]
    np.testing.assert_allclose(decoder(torch.tensor(rates)).detach().numpy(), expected, rtol=1e-12)


def popsan(actor: PopulationActor, x: np.ndarray, micro_steps: int, *, memory: bool) -> np.ndarray:
    """The actor in numpy float64, with leaky neurons of tau = 2 and soft reset: ``[T, inputs]`` to ``[T, outputs]``."""
    values = {name: tensor.detach().double().numpy() for name, tensor in actor.state_dict().items()}
    linear = [f"network.layer{index}.linear.module" for index in (0, 1)]
    weights = [(values[f"{name}.weight"], values[f"{name}.bias"]) for name in linear]
    actions = []
    for t, x_t in enumerate(x):
        if t == 0 or not memory:
            charge, membranes = 0.0, [0.0, 0.0]
        deviations = (x_t[:, None] - values["encoder.centre"]) / np.exp(values["encoder.log_width"])
        stimulation = np.exp(-0.5 * deviations**2).ravel()
        counts = 0.0
        for _ in range(micro_steps):
            charge = charge + stimulation
            spikes = (charge >= 0.999).astype(float)
            charge = charge - 0.999 * spikes
            for index, (weight, bias) in enumerate(weights):
                membranes[index] = membranes[index] + (weight @ spikes + bias - membranes[index]) / 2.0
                spikes = (membranes[index] >= 1.0).astype(float)
                membranes[index] = membranes[index] - spikes
            counts = counts + spikes
        rates = (counts / micro_steps).reshape(values["decoder.weight"].shape)
        actions.append(np.tanh((rates * values["decoder.weight"]).sum(1) + values["decoder.bias"]))
    return np.array(actions)


@pytest.mark.parametrize("memory", [False, True])
def test_the_actor_is_what_its_equations_say(memory):
    torch.manual_seed(0)
    actor = PopulationActor(
        3, 2, neuron=lambda channels: LIF(), hidden=[20], population=5, micro_steps=4, memory=memory, norm="none"
    ).double()
    with torch.no_grad():
        for name, parameter in actor.named_parameters():
            if "linear" in name:
                parameter *= 12.0  # so that the neurons fire
    x = np.random.default_rng(1).normal(size=(7, 3))
    actions, _ = actor(torch.tensor(x).unsqueeze(1))
    expected = popsan(actor, x, 4, memory=memory)
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(actions[:, 0].detach().numpy(), expected, atol=1e-12)


ACTORS = {
    "ann": lambda: ann(3, 2, hidden=[8]),
    "gru": lambda: GRUActor(3, 2, width=8),
    "memoryless": lambda: PopulationActor(3, 2, neuron=DSN, hidden=[8], population=4, micro_steps=3),
    "memory": lambda: PopulationActor(3, 2, neuron=DSN, hidden=[8], population=4, micro_steps=3, memory=True),
    "current": lambda: PopulationActor(3, 2, neuron=DSN, hidden=[8], micro_steps=1, memory=True, encoding="current"),
}


@pytest.mark.parametrize("name", ACTORS)
def test_actors_answer_the_same_in_parallel_and_step_by_step(name):
    torch.manual_seed(0)
    actor = ACTORS[name]().double().eval()
    x = torch.randn(9, 4, 3, dtype=torch.float64)
    together, _ = actor(x)
    state, single = None, []
    for x_t in x:
        action, state = actor.step(x_t, state)
        single.append(action)
    assert together.shape == (9, 4, 2)
    assert together.abs().max() <= 1.0
    torch.testing.assert_close(torch.stack(single), together, rtol=0, atol=1e-12)
    split = torch.cat([actor(x[:4])[0], actor(x[4:], actor(x[:4])[1])[0]])
    torch.testing.assert_close(split, together, rtol=0, atol=1e-12)
    empty, _ = actor(x[:0])
    assert empty.shape == (0, 4, 2)


@pytest.mark.parametrize("name", ACTORS)
def test_padding_reaches_nothing(name):
    torch.manual_seed(0)
    actor = ACTORS[name]().double()
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    lengths = torch.tensor([6, 2, 0])
    expected, after = actor(x[:2, 1:2])
    x[2:, 1] = torch.nan
    x[:, 2] = torch.nan
    y, state = actor(x, None, lengths)
    torch.testing.assert_close(y[:2, 1:2], expected, rtol=0, atol=1e-12)
    assert (y[2:, 1] == 0).all()
    assert (y[:, 2] == 0).all()
    go_on = torch.randn(1, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(actor(go_on, state)[0][:, 1:2], actor(go_on[:, 1:2], after)[0], rtol=0, atol=1e-12)
    if name in ("ann", "gru"):
        return
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in actor.parameters() if p.grad is not None)


def test_memory_is_what_tells_two_pasts_apart():
    torch.manual_seed(0)
    pasts = torch.randn(5, 2, 3)
    pasts[-1, 1] = pasts[-1, 0]
    last = {name: ACTORS[name]()(pasts)[0][-1] for name in ("memory", "memoryless")}
    assert not torch.equal(last["memory"][0], last["memory"][1])
    torch.testing.assert_close(last["memoryless"][0], last["memoryless"][1])


def test_wrong_options():
    with pytest.raises(InputError, match="micro_steps = 0"):
        PopulationActor(3, 2, neuron=DSN, micro_steps=0)
    with pytest.raises(InputError, match="encoding is 'rate', expected 'spikes' or 'current'"):
        PopulationActor(3, 2, neuron=DSN, encoding="rate")
    with pytest.raises(InputError, match=r"its own is \(\)"):
        PopulationActor(3, 2, neuron=DSN)(torch.zeros(1, 1, 3), (1,))
