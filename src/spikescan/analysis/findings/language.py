"""What a language model writes, and how well it predicts after how much of a text."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spikescan.analysis.findings.survey import Meter, Seen, valid_steps
from spikescan.data import NOT_SCORED
from spikescan.data.sources import Text
from spikescan.streaming import stream
from spikescan.tasks import Language
from spikescan.training.run import Run

__all__ = ["GeneratedText", "PositionLoss", "generate", "generated_text", "position_loss_meter"]


@dataclass(frozen=True)
class GeneratedText:
    """What a model wrote, symbol by symbol, each one fed back to it."""

    prompt: str
    """What it was given to go on from."""
    text: str
    """What it wrote."""
    seed: int
    temperature: float


@dataclass(frozen=True)
class PositionLoss:
    """The loss by the place in a sample, over the test split."""

    loss: Tensor
    """Mean cross-entropy in nats, ``[T]``; NaN where no step is scored."""
    steps: Tensor
    """How many steps were scored at each place, int64 ``[T]``."""


class _PositionLossMeter(Meter):
    def __init__(self, steps: int) -> None:
        self._sums = torch.zeros(steps, dtype=torch.float64)
        self._counts = torch.zeros(steps, dtype=torch.int64)

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        targets = seen.batch.targets.t().masked_fill(~valid_steps(seen), NOT_SCORED)
        logits = seen.recording.output.flatten(0, 1)
        each = F.cross_entropy(logits, targets.flatten(), ignore_index=NOT_SCORED, reduction="none").view_as(targets)
        self._sums[: len(each)] += each.sum(1).double()
        self._counts[: len(each)] += (targets != NOT_SCORED).sum(1)

    def result(self) -> PositionLoss:
        """Over all samples."""
        return PositionLoss((self._sums / self._counts).float(), self._counts)


def position_loss_meter(run: Run) -> Meter | None:
    """`PositionLoss` of a language model."""
    return _PositionLossMeter(run.dataset.test.inputs.shape[1]) if isinstance(run.task, Language) else None


def generated_text(
    run: Run, *, symbols: int = 600, prompt: int = 64, seed: int = 0, temperature: float = 0.8
) -> GeneratedText | None:
    """What a language model writes after the start of the test text; None if it is no such model, or cannot be stepped."""
    source, test = run.dataset.source, run.dataset.test
    if not isinstance(run.task, Language) or not isinstance(source, Text) or not run.model.streamable:
        return None
    start = test.inputs[0, :prompt, 0].long()
    generator = torch.Generator().manual_seed(seed)
    written = generate(run, start, symbols, temperature, generator)
    # Where words have separators, prompt and text are two texts.
    return GeneratedText(source.text(start), source.text(written), seed, temperature)


def generate(run: Run, prompt: Tensor, count: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Symbol numbers ``[count]`` after the prompt ``[n]``, drawn one by one from softmax(output / temperature)."""
    split = run.dataset.test
    live = stream(run.model)

    def push(symbol: Tensor) -> Tensor:
        stored = symbol.to(split.inputs.dtype).view(1, 1, 1)
        return live.push((stored if split.encode is None else split.encode(stored))[0, 0])

    output = torch.zeros(0)
    for symbol in prompt.unbind():
        output = push(symbol)
    written = []
    for _ in range(count):
        written.append(torch.multinomial((output.float() / temperature).softmax(-1), 1, generator=generator)[0])
        output = push(written[-1])
    return torch.stack(written)
