"""The membrane of a PRF in two other ways, for tests and benchmarks/resonance.py; its fused sweep is the neuron itself."""

import torch
from torch import Tensor

from spikescan import ops
from spikescan.neurons import PRF


def by_scan(neuron: PRF, x: Tensor) -> Tensor:
    """A complex linear recurrence, of which the real part is the membrane; x is ``[T, B, C]``."""
    decay_re, decay_im, step = neuron.coefficients(x.device)
    drive = step * x
    states, _ = ops.linear_recurrence(torch.complex(decay_re, decay_im), torch.complex(drive, torch.zeros_like(drive)))
    return states.real


def by_fft(neuron: PRF, x: Tensor) -> Tensor:
    """A causal convolution with Delta exp(-Delta t / tau) cos(Delta theta t), padded to twice the length."""
    length = 2 * len(x)
    step, frequency, rate = (torch.exp(each) for each in (neuron.log_step, neuron.log_frequency, neuron.log_rate))
    time = step.unsqueeze(1) * torch.arange(len(x), dtype=step.dtype, device=step.device)
    kernel = step.unsqueeze(1) * torch.exp(-rate.unsqueeze(1) * time) * torch.cos(frequency.unsqueeze(1) * time)
    rows = x.movedim(0, -1).contiguous()  # FFTs over a last axis of time were twice as fast as over the first
    membrane = torch.fft.irfft(torch.fft.rfft(rows, n=length) * torch.fft.rfft(kernel, n=length), n=length)
    return membrane[..., : len(x)].movedim(-1, 0)
