"""How one neuron answers to simple inputs: what tells neurons apart at a glance."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from spikescan.analysis._neurons import thresholds
from spikescan.analysis.theme import LIGHT, Theme
from spikescan.neurons.base import Neuron

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Response", "draw_responses", "responses", "stimuli"]


class Response(NamedTuple):
    """One stimulus, and what one neuron made of it, each ``[T]``."""

    stimulus: Tensor
    membrane: Tensor
    spikes: Tensor


def stimuli(time_steps: int = 100) -> dict[str, Tensor]:
    """The inputs, each ``[T]``: an impulse, a constant current, a burst of pulses, noise (the same each time)."""
    time = torch.arange(time_steps)
    begin, end = time_steps // 10, time_steps * 6 // 10
    during = ((time >= begin) & (time < end)).float()
    noise = torch.randn(time_steps, generator=torch.Generator().manual_seed(0))
    return {
        "impulse": 4.0 * (time == begin),
        "constant": 1.5 * during,
        "burst": 3.0 * during * (time % 5 == 0),
        "noise": 0.5 + 1.5 * noise,
    }


@torch.no_grad()
def responses(neuron: Neuron, channels: int = 1, time_steps: int = 100) -> dict[str, Response]:
    """The answers of the first channel of a neuron, in evaluation mode, by the name of the stimulus.

    Args:
        neuron: any; it is left in the mode in which it was.
        channels: that the neuron takes; all are given the same input.
        time_steps: T; a neuron bound to a length takes its own.
    """
    was_training = neuron.training
    neuron.eval()
    try:
        answers = {}
        for name, stimulus in stimuli(time_steps).items():
            x = stimulus.view(-1, 1, 1).expand(-1, 1, channels).contiguous()
            spikes, _ = neuron(x)
            answers[name] = Response(stimulus, neuron.trace(x)["membrane"][:, 0, 0], spikes[:, 0, 0])
        return answers
    finally:
        neuron.train(was_training)


def draw_responses(neuron: Neuron, channels: int = 1, time_steps: int = 100, *, theme: Theme = LIGHT) -> "Figure":
    """A column a stimulus: the input, and below it the membrane with its threshold and the spikes.

    Args as in `responses`; `theme` are the colours.
    """
    answers = responses(neuron, channels, time_steps)
    levels = thresholds(neuron, time_steps)
    with theme.figure(11.0, 3.2) as figure:
        grid = figure.subplots(2, len(answers), sharex=True, height_ratios=[1, 2.4], squeeze=False)
        for column, (name, answer) in enumerate(answers.items()):
            above, below = grid[0][column], grid[1][column]
            above.set_title(name)
            above.plot(answer.stimulus.tolist(), drawstyle="steps-mid", color=theme.ink, linewidth=0.8)
            _draw_answer(below, answer, levels, theme)
            below.set_xlabel("step")
        grid[0][0].set_ylabel("input")
        grid[1][0].set_ylabel("membrane, spikes")
        return figure


def _draw_answer(axes: "Axes", answer: Response, levels: Tensor, theme: Theme) -> None:
    axes.plot(answer.membrane.tolist(), color=theme.first, linewidth=1.1)
    for level in levels[:, :1].unbind(1):
        axes.plot(level.tolist(), color=theme.second, linewidth=0.8, linestyle=(0, (5, 3)))
    low, high = axes.get_ylim()
    unit = 0.12 * (high - low)
    # One line a spike; several spikes in one step are a longer line.
    fired = answer.spikes.nonzero().flatten()
    heights = answer.spikes[fired] / max(float(answer.spikes.max()), 1.0)
    axes.vlines(
        fired.tolist(), high + 0.2 * unit, (high + 0.2 * unit + unit * heights).tolist(), color=theme.ink, linewidth=1.0
    )
    axes.set_ylim(low, high + 1.4 * unit)
