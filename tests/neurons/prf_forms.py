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
    time_steps = len(x)
    step, frequency, rate = (torch.exp(each) for each in (neuron.log_step, neuron.log_frequency, neuron.log_rate))
    time = step * torch.arange(time_steps, dtype=step.dtype, device=step.device).unsqueeze(1)
    kernel = step * torch.exp(-rate * time) * torch.cos(frequency * time)
    spectrum = torch.fft.rfft(x, n=2 * time_steps, dim=0) * torch.fft.rfft(kernel, n=2 * time_steps, dim=0).unsqueeze(1)
    return torch.fft.irfft(spectrum, n=2 * time_steps, dim=0)[:time_steps]
