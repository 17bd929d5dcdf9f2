"""Recorded steps against the same in torch."""

import pytest
import torch

from spikescan import ops
from spikescan.ops import FiringSpec, Kind, Reset
from spikescan.ops.leaky_integration import leaky_cell
from spikescan.ops.stepping import StepRecorder

DTYPES = [torch.float32, torch.float64]
FIRING = FiringSpec(Kind.ATAN, 0.1)


@pytest.fixture(params=DTYPES, ids=str)
def numbers(request):
    """Random tensors of one type, the same in each test."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=request.param)


def run(recorder: StepRecorder, times: int = 1) -> None:
    """As a stream does: long after whatever made the recording has let go of its tensors."""
    nothing = torch.zeros(1)
    step = recorder.link(nothing, nothing.clone())
    for _ in range(times):
        step(nothing.clone(), nothing.clone())


def test_a_run_reads_one_tensor_and_writes_another(numbers):
    x, other = numbers(2, 5), numbers(2, 5)
    recorder = StepRecorder()
    step = recorder.link(x, recorder.add(x, other))
    for _ in range(3):
        given, out = numbers(2, 5), torch.full_like(x, torch.nan)
        step(given, out)
        assert torch.equal(out, given + other)
        assert torch.equal(x, given)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 37), (70, 3), (128, 128)])
@pytest.mark.parametrize("biased", [True, False])
def test_linear(numbers, sizes, biased):
    x, weight, bias = numbers(3, sizes[0]), numbers(sizes[1], sizes[0]), numbers(sizes[1]) if biased else None
    recorder = StepRecorder()
    y = recorder.linear(x, weight, bias)
    run(recorder)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, weight, bias))


def test_a_row_has_the_same_bits_alone(numbers):
    x, weight, bias = numbers(5, 130), numbers(7, 130), numbers(7)
    together, alone = StepRecorder(), StepRecorder()
    y, last = together.linear(x, weight, bias), alone.linear(x[4:], weight, bias)
    run(together)
    run(alone)
    assert torch.equal(y[4:], last)


@pytest.mark.parametrize("shape", [(2, 5), (1, 130), (3, 2, 4, 3)])
def test_scale_add_and_maximum(numbers, shape):
    x, other, gain, offset = numbers(*shape), numbers(*shape), numbers(shape[1]), numbers(shape[1])
    largest = other.clone()
    recorder = StepRecorder()
    scaled = recorder.scale(x, gain, offset)
    added = recorder.add(x, other)
    recorder.maximum(x, largest)
    run(recorder)
    columns = (-1, *[1] * (x.ndim - 2))
    torch.testing.assert_close(scaled, x * gain.view(columns) + offset.view(columns))
    assert torch.equal(added, x + other)
    assert torch.equal(largest, torch.maximum(x, other))


@pytest.mark.parametrize("channels", [1, 7, 130])
def test_norms(numbers, channels):
    x, gain, offset = numbers(3, channels) + 5.0, numbers(channels), numbers(channels)
    recorder = StepRecorder()
    centred = recorder.layer_norm(x, gain, offset, 1e-5)
    plain = recorder.layer_norm(x, gain, torch.zeros_like(offset), 1e-5, centred=False)
    run(recorder)
    torch.testing.assert_close(centred, torch.nn.functional.layer_norm(x, (channels,), gain, offset, 1e-5))
    torch.testing.assert_close(plain, torch.nn.functional.rms_norm(x, (channels,), gain, 1e-5))


@pytest.mark.parametrize("shape", [(2, 5), (3, 2, 4)])
def test_rate_carries_its_sum(numbers, shape):
    x, total = numbers(*shape), numbers(*shape)
    steps = torch.arange(shape[0])
    expected = (total + x + x) / (steps + 2).view(-1, *[1] * (len(shape) - 1))
    recorder = StepRecorder()
    y = recorder.rate(x, total, steps)
    run(recorder, times=2)
    torch.testing.assert_close(y, expected)
    assert torch.equal(steps, torch.arange(shape[0]) + 2)


@pytest.mark.parametrize("seen", [1, 2, 5])
def test_window_moves_on(numbers, seen):
    x, past = numbers(3, 4, 2), numbers(3, seen - 1, 4, 2)
    before = past.clone()
    recorder = StepRecorder()
    y = recorder.window(x, past)
    run(recorder)
    assert torch.equal(y, torch.cat([before, x.unsqueeze(1)], 1).flatten(1, 2))
    assert torch.equal(past, torch.cat([before, x.unsqueeze(1)], 1)[:, 1:])


@pytest.mark.parametrize("shape", [(1, 3), (3, 130), (2, 3, 5)])
def test_neurons_have_the_bits_of_their_step(numbers, shape):
    """Over several runs, so that what they carry is what they wrote."""
    channels, x = shape[1], numbers(*shape)
    weight, bias = numbers(channels, 3), numbers(channels)
    cell = leaky_cell(Reset.SOFT, True, FIRING)
    window = numbers(2, *shape).transpose(0, 1)
    membrane, own, states = numbers(*shape), window.clone(), numbers(*shape)
    recorder = StepRecorder()
    of_sweep = recorder.sweep(
        cell, x, (0.5, bias), firing=FIRING, state=(states_in_place := states.clone().unsqueeze(0))
    )
    of_decay = recorder.dynamic_decay(
        x, weight, bias, tau=0.5, firing=FIRING, membrane=(in_place := membrane.clone()), window=_time_first(window)
    )
    of_conv = recorder.causal_conv(x, weight, bias, firing=FIRING, window=_time_first(own))
    step, nothing = recorder.link(x, x.clone()), torch.empty_like(x)
    for _ in range(4):
        step(x.clone(), nothing)
        spikes, (states,) = ops.sweep_step(cell, x, (0.5, bias), firing=FIRING, state=(states,))
        assert torch.equal(of_sweep, spikes)
        assert torch.equal(states_in_place[0], states)
        spikes, membrane, window = ops.dynamic_decay_step(
            x, weight, bias, tau=0.5, firing=FIRING, membrane=membrane, window=window
        )
        assert torch.equal(of_decay, spikes)
        assert torch.equal(in_place, membrane)
        y, own = ops.causal_conv_step(x, weight, bias, firing=FIRING, window=own)
        assert torch.equal(of_conv, y)


def _time_first(window: torch.Tensor) -> torch.Tensor:
    return window.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)
