"""The gate of the Dynamic Decay Spiking Neuron on vectors, from what its filter gives to the decay, in two parts.

Between them lies what is kept for the backward. A filter's taps and bias are multiplied by -log2(e): the gate then needs 2^a'
and nothing else.
"""

from spikescan.ops._simd import LOG2_E, Scalar, Vector, choose, exp2_of, log1p_unit, split_exp2, traced

__all__ = ["dynamic_gate", "shut"]


@traced
def shut(a, squarings):
    """1 - sigmoid(a) from a' = -log2(e) a; a' itself if the power of the sigmoid is no squaring (`squarings` is None)."""
    if squarings is None:
        return a
    e = exp2_of(a)
    return e / (e + 1.0)


@traced
def dynamic_gate(closed, exponent, squarings):
    """(decay, 1 - decay, 1 - sigmoid) of a DSN from what `shut` made of its gate: 1 - decay without cancellation, decay to
    within eps.

    decay = sigmoid(a)^exponent; `squarings` has as many items as squarings make that power, or is None if none do.
    """
    if squarings is None:
        e = exp2_of(closed)
        return (*_general_power(closed, exponent), e / (e + 1.0))
    decay, leak = 1.0 - closed, closed
    for _ in squarings:
        leak = leak * (decay + 1.0)
        decay = decay * decay
    return decay, leak, closed


def _general_power(a: Vector, exponent: Scalar) -> tuple[Vector, Vector]:
    """(sigmoid^exponent, 1 - sigmoid^exponent): log2 sigmoid = -(max(a', 0) + log2(1 + 2^-|a'|))."""
    positive = choose(a > 0.0, a, 0.0)
    softplus = log1p_unit(exp2_of(a.llvm("fabs") * -1.0)).llvm("fma", LOG2_E, positive)
    power, fraction = split_exp2(softplus * (-exponent))
    return power.llvm("fma", fraction, power), (1.0 - power) - power * fraction
