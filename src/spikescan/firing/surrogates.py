"""Shapes that stand in for the derivative of a step at 0; x is the membrane minus the threshold.

Each is a small frozen value; its maths is evaluated by the kernels of `spikescan.ops`. All but the multi-Gaussian and the
fast sigmoid have area 1, so that, like a step, they carry the output from 0 to 1.
"""

import math
from dataclasses import dataclass
from numbers import Real

from spikescan.errors import InputError
from spikescan.ops import FiringSpec, Kind

__all__ = ["ATan", "FastSigmoid", "MultiGaussian", "Rectangular", "Sigmoid", "Surrogate", "Triangular", "check_number"]


def check_number(owner: object, name: str, value: object, *, positive: bool = False) -> None:
    """Raise `InputError` unless a field of `owner` is a finite number, and above 0 if it is to be `positive`."""
    if not isinstance(value, Real) or not math.isfinite(value) or (positive and float(value) <= 0):
        expected = "a finite number above 0" if positive else "a finite number"
        raise InputError(f"{type(owner).__name__}: {name} is {value!r}, expected {expected}.")


@dataclass(frozen=True)
class ATan:
    """a / 2 / (1 + (pi a x / 2)^2): the derivative of an arc tangent of slope `alpha` = a (Fang et al., 2021).

    The PSN papers use alpha = 2, whose peak is 1.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        check_number(self, "alpha", self.alpha, positive=True)

    def spec(self, threshold: float) -> FiringSpec:
        """What kernels take."""
        return FiringSpec(Kind.ATAN, threshold, self.alpha)


@dataclass(frozen=True)
class Sigmoid:
    """a s (1 - s) with s = sigmoid(a x): the derivative of a sigmoid of slope `alpha` = a."""

    alpha: float = 4.0

    def __post_init__(self) -> None:
        check_number(self, "alpha", self.alpha, positive=True)

    def spec(self, threshold: float) -> FiringSpec:
        """What kernels take."""
        return FiringSpec(Kind.SIGMOID, threshold, self.alpha)


@dataclass(frozen=True)
class Triangular:
    """max(0, 1 - |x| / w) / w with w = `width`, in units of the membrane (Bellec et al., 2018)."""

    width: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "width", self.width, positive=True)

    def spec(self, threshold: float) -> FiringSpec:
        """What kernels take."""
        return FiringSpec(Kind.TRIANGULAR, threshold, self.width)


@dataclass(frozen=True)
class Rectangular:
    """1 / w where |x| < w / 2 with w = `width`, in units of the membrane (Wu et al., 2018)."""

    width: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "width", self.width, positive=True)

    def spec(self, threshold: float) -> FiringSpec:
        """What kernels take."""
        return FiringSpec(Kind.RECTANGULAR, threshold, self.width)


@dataclass(frozen=True)
class MultiGaussian:
    """(1 + h) G(x; s) - h G(x - s; m s) - h G(x + s; m s), G(x; s) the normal density (Yin et al., 2021).

    s = `deviation`, h = `height` of the two negative side lobes, m = `spread` their width against that of the centre. Its
    area is 1 - h.
    """

    deviation: float = 0.5
    height: float = 0.15
    spread: float = 6.0

    def __post_init__(self) -> None:
        check_number(self, "deviation", self.deviation, positive=True)
        check_number(self, "height", self.height)
        check_number(self, "spread", self.spread, positive=True)

    def spec(self, threshold: float) -> FiringSpec:
        """What kernels take."""
        return FiringSpec(Kind.MULTI_GAUSSIAN, threshold, self.deviation, self.height, self.spread)


@dataclass(frozen=True)
class FastSigmoid:
    """1 / (1 + a |x|)^2: the derivative of a fast sigmoid of steepness `slope` = a (Zenke & Ganguli, 2018).

    Its peak is 1 whatever the slope, so that its area is 2 / a.
    """

    slope: float = 100.0

    def __post_init__(self) -> None:
        check_number(self, "slope", self.slope, positive=True)

    def spec(self, threshold: float) -> FiringSpec:
        """What kernels take."""
        return FiringSpec(Kind.FAST_SIGMOID, threshold, self.slope)


Surrogate = ATan | Sigmoid | Triangular | Rectangular | MultiGaussian | FastSigmoid
