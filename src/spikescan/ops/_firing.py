"""How a membrane becomes spikes, in the form that kernels take: a kind and four numbers."""

from enum import IntEnum
from typing import NamedTuple

__all__ = ["FiringSpec", "Kind"]


class Kind(IntEnum):
    """What comes out of the membrane H, and the derivative that stands in for the step's.

    With x = H - threshold, a, b, c the shape of the surrogate and N the number of levels:

    =============== ==================== =======================================================
    kind            output               derivative
    =============== ==================== =======================================================
    IDENTITY        H                    1
    INTEGER         clip(round(H), 0, N) 1 where 0 <= H <= N, else 0
    ATAN            1 where x >= 0       a / 2 / (1 + (pi / 2 * a * x)^2)
    SIGMOID         1 where x >= 0       a * s * (1 - s), s = sigmoid(a * x)
    TRIANGULAR      1 where x >= 0       max(0, 1 - abs(x) / a) / a
    RECTANGULAR     1 where x >= 0       1 / a where abs(x) < a / 2, else 0
    MULTI_GAUSSIAN  1 where x >= 0       (1 + b) G(x; a) - b G(x - a; c a) - b G(x + a; c a)
    FAST_SIGMOID    1 where x >= 0       1 / (1 + a abs(x))^2
    =============== ==================== =======================================================

    G(x; s) is the normal density with standard deviation s. Rounding is half to even in every backend.
    """

    IDENTITY = 0
    INTEGER = 1
    ATAN = 2
    SIGMOID = 3
    TRIANGULAR = 4
    RECTANGULAR = 5
    MULTI_GAUSSIAN = 6
    FAST_SIGMOID = 7


class FiringSpec(NamedTuple):
    """A kind and its numbers: `level` is the threshold, or the number of levels of `Kind.INTEGER`."""

    kind: Kind
    level: float = 0.0
    a: float = 1.0
    b: float = 0.0
    c: float = 1.0

    @property
    def numbers(self) -> list[float]:
        """The four numbers, as an op takes them."""
        return [self.level, self.a, self.b, self.c]

    @property
    def unit(self) -> float:
        """What one spike takes off the membrane in a soft reset: the threshold, or one level."""
        return 1.0 if self.kind == Kind.INTEGER else self.level


IDENTITY = FiringSpec(Kind.IDENTITY)
