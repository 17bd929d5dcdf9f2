"""One sample on its way through the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikescan.analysis.recording import Recording, record
from spikescan.data.sources import Layout, Source
from spikescan.layers import final_step
from spikescan.training.run import Run

__all__ = ["Example", "follow", "spread_out"]


@dataclass(frozen=True)
class Example:
    """One sample that the report follows through the model."""

    recording: Recording
    """Of this sample alone, ``B = 1``."""
    target: Tensor | None = None
    """As in `Split`, without the axis of samples: ``[]``, ``[T]``, ``[K]`` or ``[T, K]``."""
    source: Source | None = None
    """What the input was made from."""
    original: Tensor | None = None
    """The input ``[T, C, *]`` without padding and before it was scaled; None takes the recording's."""

    @property
    def steps(self) -> int:
        """Valid time steps."""
        return int(self.recording.lengths[0])

    @property
    def input(self) -> Tensor:
        """What `source` speaks of, ``[T, C, *]``."""
        return self.recording.x[: self.steps, 0] if self.original is None else self.original

    @property
    def image(self) -> Tensor | None:
        """``[channels, H, W]``: what the sequence was made from, where it was an image."""
        if not isinstance(self.source, Layout):
            return None
        return self.source.images(self.input.contiguous().unsqueeze(0))[0]

    @property
    def label(self) -> int | None:
        """The class of the sample, where it has one."""
        target = self.target
        return int(target) if target is not None and target.dim() == 0 and not target.is_floating_point() else None

    @property
    def prediction(self) -> int:
        """The largest output after the last valid step."""
        return int(final_step(self.recording.output, self.recording.lengths)[0].argmax())


def follow(run: Run, index: int, *, traces: bool = False) -> Example:
    """Run one sample of the test split."""
    split, scaling = run.dataset.test, run.dataset.scaling
    batch = split.batch(slice(index, index + 1), trim=not run.model.length_bound)
    recording = record(run.model, batch.inputs, lengths=batch.lengths, traces=traces)
    original = batch.inputs[: int(recording.lengths[0]), 0]
    target = batch.targets[0]
    return Example(
        recording=recording,
        target=target[: len(original)] if split.has_step_targets else target,
        source=run.dataset.source,
        original=original if scaling is None else scaling.undone(original),
    )


def spread_out(samples: int, count: int) -> Sequence[int]:
    """`count` of so many samples, or all of them, at even distances and away from the ends."""
    count = min(count, samples)
    return torch.arange(count).add(0.5).mul(samples / max(count, 1)).long().tolist()
