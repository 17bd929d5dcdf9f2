"""HYPR against e-prop, written down step by step."""

import eprop_equations as equations
import numpy as np
import pytest
import torch

from spikescan import HYPR, LIF, Recurrent, Sequential

T, SIZES, TAUS = 50, (4, 6, 5), (3.0, 8.0)


def values(tensor: torch.Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().numpy()


@pytest.mark.parametrize("lateral", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, T])
@pytest.mark.parametrize("depth", [1, 2])
def test_it_is_eprop(depth: int, chunk: int, lateral: bool) -> None:
    """One layer for any chunk; below it the learning signal comes through the current step where a chunk is one step."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    layers = [Recurrent(SIZES[i], SIZES[i + 1], LIF(TAUS[i]), lateral=lateral).double() for i in range(depth)]
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data *= 4.0
    x, grad = rng.normal(0.3, 2.0, (T, SIZES[0])), rng.normal(size=(T, SIZES[depth]))
    as_written = [
        equations.Layer(
            values(layer.linear.weight),
            values(layer.lateral.weight) if lateral else None,
            values(layer.linear.bias),
            layer.neuron.tau,
        )
        for layer in layers
    ]
    spikes, expected = equations.run(x, as_written, grad)
    assert 0 < np.count_nonzero(spikes) < spikes.size
    model, state = Sequential(*(HYPR(layer) for layer in layers)), None
    sequence, signal = torch.from_numpy(x).unsqueeze(1), torch.from_numpy(grad).unsqueeze(1)
    found = []
    for part, of_part in zip(sequence.split(chunk), signal.split(chunk), strict=True):
        y, state = model(part, state)
        y.backward(of_part)
        found.append(y.detach().squeeze(1))
    np.testing.assert_array_equal(torch.cat(found), spikes)
    for i, (layer, (weight, of_lateral, bias)) in enumerate(zip(layers, expected, strict=True)):
        if i < depth - 1 and chunk > 1:
            continue
        np.testing.assert_allclose(layer.linear.weight.grad, weight, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(layer.linear.bias.grad, bias, rtol=1e-10, atol=1e-12)
        if lateral:
            np.testing.assert_allclose(layer.lateral.weight.grad, of_lateral, rtol=1e-10, atol=1e-12)
