"""Powers of a gate."""

import math

__all__ = ["squarings"]


def squarings(exponent: float) -> int | None:
    """How often a number is squared to raise it to `exponent`, which is a power of two from 1 to 16; None for any other.

    Each squaring is one multiplication, where any other power is a logarithm and an exponential.
    """
    mantissa, power_of_two = math.frexp(exponent)
    return power_of_two - 1 if mantissa == 0.5 and 1 <= power_of_two <= 5 else None
