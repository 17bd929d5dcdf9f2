"""What the samples of a dataset were before they became sequences: a report shows them as their users know them."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Audio", "Crossings", "Layout", "Sensor", "Series", "Source", "Text"]


@dataclass(frozen=True)
class Layout:
    """How an image of `shape` (channels, height, width) becomes a sequence.

    Args:
        shape: of an image.
        columns: a time step is a column of pixels, ``[N, width, height]``, or ``[N, width, channels, height]`` if there
            are several channels; else it is a pixel, ``[N, height * width, channels]``, row by row.
        permutation_seed: shuffles the pixels of all images alike before they are cut; None keeps them.
    """

    shape: tuple[int, int, int]
    columns: bool
    permutation_seed: int | None

    def sequences(self, images: Tensor) -> Tensor:
        """``[N, channels, height, width]`` to sequences."""
        pixels = images.flatten(2)
        if self.permutation_seed is not None:
            pixels = pixels[..., self._order()]
        if not self.columns:
            return pixels.transpose(1, 2).contiguous()
        columns = pixels.reshape(-1, *self.shape).permute(0, 3, 1, 2)
        return (columns.squeeze(2) if self.shape[0] == 1 else columns).contiguous()

    def images(self, sequences: Tensor) -> Tensor:
        """Sequences back to ``[N, channels, height, width]``."""
        channels, height, width = self.shape
        if self.columns:
            pixels = sequences.view(-1, width, channels, height).permute(0, 2, 3, 1).flatten(2)
        else:
            pixels = sequences.transpose(1, 2)
        if self.permutation_seed is not None:
            pixels = pixels[..., self._order().argsort()]
        return pixels.reshape(-1, *self.shape)

    def _order(self) -> Tensor:
        assert self.permutation_seed is not None
        pixels = self.shape[1] * self.shape[2]
        return torch.randperm(pixels, generator=torch.Generator().manual_seed(self.permutation_seed))


@dataclass(frozen=True)
class Sensor:
    """An event camera: a time step counts the events of a while at each pixel, darker first, then brighter.

    Args:
        height: in pixels, as counted: after downsampling.
        width: likewise.
    """

    height: int
    width: int

    def frames(self, sequence: Tensor) -> Tensor:
        """``[T, 2, H, W]`` or ``[T, 2 * H * W]`` to ``[T, 2, H, W]``."""
        return sequence.reshape(len(sequence), 2, self.height, self.width)


@dataclass(frozen=True)
class Audio:
    """Sound: a time step is a frame of samples, which are its channels.

    Args:
        rate: samples a second.
    """

    rate: int

    def samples(self, sequence: Tensor) -> Tensor:
        """``[T, frame]`` to ``[T * frame]``."""
        return sequence.flatten()


@dataclass(frozen=True)
class Crossings:
    """Signals as the levels they cross: of each signal a channel that fires where it rises by one, and one where it falls.

    Args:
        names: of the signals.
    """

    names: tuple[str, ...]

    def signals(self, sequence: Tensor) -> Tensor:
        """``[T, 2 * signals]`` to the signals ``[T, signals]``, in levels: what rose less what fell, without its drift."""
        level = (sequence[:, 0::2] - sequence[:, 1::2]).cumsum(0)
        # Crossings that were missed leave a drift, which a straight line takes most of.
        return level - level[-1:] * torch.linspace(0.0, 1.0, len(level)).unsqueeze(1)


@dataclass(frozen=True)
class Series:
    """Variables over time, one a channel; or several steps of each in one time step, ``[T, frame, variables]``.

    Args:
        names: of the variables.
        horizon: how many steps of the same variables the targets ``[N, horizon * variables]`` hold; None if they hold something
            else.
    """

    names: tuple[str, ...]
    horizon: int | None = None

    def values(self, sequence: Tensor) -> Tensor:
        """``[T, *, variables]`` to ``[steps, variables]``."""
        return sequence.reshape(-1, len(self.names))


@dataclass(frozen=True)
class Text:
    """Symbols, one a time step, one-hot.

    Args:
        symbols: what each number stands for: a character, a byte, a word.
        separator: what stands between two of them.
    """

    symbols: tuple[str, ...]
    separator: str = ""

    def text(self, numbers: Tensor) -> str:
        """Symbol numbers ``[T]`` as text."""
        return self.separator.join(self.symbols[number] for number in numbers.tolist())


Source = Layout | Sensor | Audio | Crossings | Series | Text
"""All that is known."""
