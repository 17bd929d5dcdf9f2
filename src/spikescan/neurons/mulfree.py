"""The multiplication-free channel-wise PSN (Xue et al., NeurIPS 2025, arXiv 2501.14490), in floating point and in integers."""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, Firing, Integer
from spikescan.neurons.base import Cost, Neuron, Temporal, at_rest, check_channels, check_state
from spikescan.neurons.padding import zero_padding
from spikescan.neurons.psn import _initial_bias, fire_at_zero
from spikescan.ops import FiringSpec
from spikescan.ops._checks import compute_dtype, in_compute_dtype

__all__ = ["MulFreePSN", "MulFreePSNState", "ShiftPSN", "ShiftPSNState", "sawtooth", "set_dilations", "to_shift"]


def sawtooth(layers: int, limit: int) -> list[int]:
    """The dilation of each spiking layer: 1, 2, ..., limit, 1, 2, ... (arXiv 2501.14490; the paper's limit is not known).

    Few taps so look far back without gaps in what a stack of layers sees; `set_dilations` gives them to a network.

    Raises:
        InputError: `layers` is negative or `limit` below 1.
    """
    if layers < 0 or limit < 1:
        raise InputError(f"sawtooth: layers is {layers} and limit {limit}, expected at least 0 and at least 1.")
    return [1 + layer % limit for layer in range(layers)]


def set_dilations(model: nn.Module, dilations: Sequence[int]) -> None:
    """Give each `MulFreePSN` of a network its dilation, in the order in which they were registered.

    ``set_dilations(model, sawtooth(layers=3, limit=2))``. The dilation is an option and not in the state dict: set it again
    before loading one into a network that was built anew.

    Raises:
        InputError: there are more or fewer of these neurons, or a dilation is below 1.
    """
    layers = [module for module in model.modules() if isinstance(module, MulFreePSN)]
    if len(layers) != len(dilations) or any(dilation < 1 for dilation in dilations):
        raise InputError(
            f"set_dilations was given {list(dilations)} for the {len(layers)} MulFreePSN of {type(model).__name__}, "
            f"expected one for each, at least 1, such as sawtooth({len(layers)}, limit=3)."
        )
    for layer, dilation in zip(layers, dilations, strict=True):
        layer.dilation = dilation


class MulFreePSNState(NamedTuple):
    """What a mul-free PSN carries: the last (k - 1) d inputs ``[B, (k - 1) d, C, *]``, newest last."""

    window: Tensor


class MulFreePSN(Neuron):
    r"""A causal, dilated filter a channel whose weights are powers of two, so that hardware shifts instead of multiplying.

    .. math::
        I_t &= \sum_{i=0}^{k-1} w_i \, x_{t - (k-1-i) d}, \quad
        \mu, \sigma^2 = \text{mean, variance of } I \text{ in a channel} \\
        g &= \gamma / \sqrt{\sigma^2 + \epsilon}, \quad b = \beta - g \mu \\
        H_t &= \sum_{i=0}^{k-1} Q(g w_i) \, x_{t - (k-1-i) d}, \quad
        Q(w) = \text{sign}(w) \, 2^{\text{round}(\log_2 |w|)} \\
        S_t &= \Theta(H_t + b)

    Source: arXiv 2501.14490. The threshold is learnt through a batch norm (`norm`), which starts at :math:`\gamma = 1`,
    :math:`\beta = -1` and is fused into the filter; the fused weight is quantised. The bias is not: it is a threshold, which
    costs a comparison and no multiplication. Backward, dQ/dw = 1 (Q as a whole is straight-through; the paper found that
    a straight-through rounding alone diverges), and Q(0) = 0. The paper does not state how w starts: here uniform within
    +-1/sqrt(k), as torch's depthwise convolution.

    **In training** the filter runs twice: for the mean and variance over time, batch and sites, through which gradients
    flow, and then with the fused weight. A step so depends on all others: the neuron is causal, and equal to its stepwise
    run, in ``eval()``, where the filter runs once with the running statistics. Steps beyond `lengths` are in no statistics.
    They follow the mode of `norm`: ``neuron.norm.eval()`` freezes them in training.

    Args:
        channels: C.
        kernel_size: k, inputs that one step sees. The paper uses 2 to 17, and its best is 14 to 16 on sequences of 32.
        dilation: d, steps between them; `sawtooth` gives the paper's dilation of each layer. May be set later.
        firing: `Binary` (its threshold is where the learnt one starts) or `Integer`. The paper's surrogates are `ATan(2)`
            and `ATan(5)`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``; weight ``[C, k]``, newest tap last.
    """

    def __init__(self, channels: int, *, kernel_size: int = 4, dilation: int = 1, firing: Firing | None = None) -> None:
        super().__init__()
        if channels < 1 or kernel_size < 1 or dilation < 1:
            raise InputError(
                f"MulFreePSN: channels is {channels}, kernel_size {kernel_size} and dilation {dilation}, "
                f"expected each at least 1."
            )
        self.channels = channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.firing = Binary() if firing is None else firing
        bound = 1.0 / math.sqrt(kernel_size)
        self.weight = nn.Parameter(torch.empty(channels, kernel_size).uniform_(-bound, bound))
        self.norm = nn.BatchNorm1d(channels)
        nn.init.constant_(self.norm.bias, _initial_bias(self.firing))

    def initial_state(self, x_t: Tensor) -> MulFreePSNState:
        """At rest: no inputs seen."""
        return MulFreePSNState(at_rest(x_t, (self.kernel_size - 1) * self.dilation))

    def forward(
        self, x: Tensor, state: MulFreePSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, MulFreePSNState]:
        """Run over all of time at once; see `Temporal.forward`.

        Raises:
            InputError: in training mode, one value a channel (one step of one sample) has no variance.
        """
        check_channels(self, x, 2, self.channels)
        (window,) = self.unpack(state, MulFreePSNState)
        x = zero_padding(x, lengths)
        if self._measures(x):
            mean, variance, count = self._statistics(x, window, lengths)
            self._follow(mean, variance, count)
            taps, bias = self._fused(mean, variance)
        else:
            taps, bias = self.fused()
        spikes, window = ops.causal_conv(
            x, taps, bias, dilation=self.dilation, firing=fire_at_zero(self.firing), window=window, lengths=lengths
        )
        return spikes, MulFreePSNState(window)

    def fused(self) -> tuple[Tensor, Tensor]:
        """The weight Q(g w) ``[C, k]`` and the bias b ``[C]`` that evaluation uses, from the running statistics."""
        return self._fused(cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var))

    def _fused(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        # Rounded to half precision, a weight between two powers may come to the other one.
        mean, variance, gamma = (in_compute_dtype(each) for each in (mean, variance, self.norm.weight))
        gain = gamma / torch.sqrt(variance + self.norm.eps)
        return _power_of_two(gain.unsqueeze(1) * self.weight), self.norm.bias - gain * mean

    def _measures(self, x: Tensor) -> bool:
        """Whether the statistics are those of this input; nothing is measured on nothing."""
        return self.norm.training and x.numel() > 0

    def _statistics(self, x: Tensor, window: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance ``[C]`` of the filtered input over its valid steps, and how many values a channel has."""
        if x.numel() == self.channels:
            raise InputError(
                f"MulFreePSN: x is {list(x.shape)}, one value a channel, which has no variance. In training mode the "
                f"statistics are those of the input: call eval() to run with the learnt ones."
            )
        current, _ = ops.causal_conv(
            x.to(compute_dtype(x)), self.weight, dilation=self.dilation, window=window, lengths=lengths
        )
        steps = torch.full((), x.shape[0] * x.shape[1], device=x.device) if lengths is None else lengths.sum()
        count = (steps * x.shape[3:].numel()).to(current.dtype)
        mean, variance = _Moments.apply(current, lengths, count.clamp(min=1.0))  # type: ignore[no-untyped-call]
        return mean, variance, count

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics as `nn.BatchNorm1d` does; not at all where every sample is padding."""
        norm = self.norm
        batches = cast(Tensor, norm.num_batches_tracked)
        batches += count > 0
        momentum = 1.0 / batches.clamp(min=1).double() if norm.momentum is None else norm.momentum
        unbiased = variance * (count / (count - 1.0).clamp(min=1.0))
        for running, measured in ((norm.running_mean, mean), (norm.running_var, unbiased)):
            kept = cast(Tensor, running)
            kept += torch.where(count > 0, momentum * (measured.to(kept.dtype) - kept), 0.0)

    @torch.no_grad()
    def trace(self, x: Tensor, state: MulFreePSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; the membrane is H + b + theta, so that the threshold lies at that of `firing`, theta."""
        (window,) = self.unpack(state, MulFreePSNState)
        taps, bias = self._fused(*self._statistics(x, window, None)[:2]) if self._measures(x) else self.fused()
        shifted = bias - _initial_bias(self.firing)
        return {
            "membrane": ops.causal_conv(in_compute_dtype(x), taps, shifted, dilation=self.dilation, window=window)[0]
        }

    def cost(self) -> Cost:
        """A shift and an addition a tap, in place of the multiplications of a sliding PSN."""
        k = self.kernel_size
        return Cost(shifts=k, additions=k, state_bytes=4 * (k - 1) * self.dilation)

    def to_shift(self, fraction_bits: int = 0) -> "ShiftPSN":
        """The same neuron in integers, with the same spikes: see `ShiftPSN`.

        Args:
            fraction_bits: f, the input's digits after the binary point: x is a multiple of 2^-f. 0 for spikes.

        Raises:
            InputError: a fused weight or bias is not finite; or the taps of a channel lie so far apart, or f is so large, that
                the floating point sum cannot be exact.
        """
        with torch.no_grad():
            taps, bias = (fused.to(compute_dtype(fused)) for fused in self.fused())
        return ShiftPSN(taps, bias, dilation=self.dilation, fraction_bits=fraction_bits, firing=self.firing)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, kernel_size={self.kernel_size}, dilation={self.dilation}, firing={self.firing}"


def _power_of_two(weight: Tensor) -> Tensor:
    """sign(w) 2^round(log2 |w|), 0 for 0; backward it is w itself.

    Exact, so that it depends on w alone: |w| = m 2^e with 1/2 <= m < 1, and log2 |w| is rounded up where m > sqrt(1/2).
    """
    value = weight.detach()
    mantissa = torch.frexp(value).mantissa.abs()
    # No float64 lies between sqrt(1/2) and the one that stands for it.
    nearest = torch.where(mantissa.double() >= math.sqrt(0.5), mantissa, 2.0 * mantissa)
    quantised = torch.where(value == 0.0, value, value / nearest)
    # w - w is 0 and not a rounding of it, so the sum is still a power of two.
    return quantised + (weight - value)


class _Moments(torch.autograd.Function):
    """Mean and variance of ``[T, B, C, *]`` in each channel; backward it is one pass, where autograd's own takes six."""

    @staticmethod
    def forward(ctx, values: Tensor, lengths: Tensor | None, count: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        axes = [0, 1, *range(3, values.ndim)]
        mean = values.sum(axes) / count
        deviation = zero_padding(values - _over_channels(mean, values), lengths)
        ctx.save_for_backward(deviation, count)
        return mean, deviation.square().sum(axes) / count

    @staticmethod
    def backward(ctx, of_mean: Tensor, of_variance: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        deviation, count = ctx.saved_tensors
        # The variance has no gradient through the mean: deviations sum to 0. Padding is for the caller to leave out.
        constant, slope = (_over_channels(part / count, deviation) for part in (of_mean, 2.0 * of_variance))
        return torch.addcmul(constant, deviation, slope), None, None


def _over_channels(values: Tensor, x: Tensor) -> Tensor:
    """``[C]`` against x ``[T, B, C, *]``."""
    return values.view(-1, *[1] * (x.ndim - 3))


class ShiftPSNState(NamedTuple):
    """What a shift PSN carries: the last (k - 1) d inputs in fixed point, ``[B, (k - 1) d, C, *]``, newest last."""

    window: Tensor


class ShiftPSN(Neuron):
    r"""A trained `MulFreePSN` in integers: shifts, additions and comparisons, and the same spikes.

    .. math::
        X_t = 2^f x_t, \quad
        A_t = \sum_{i=0}^{k-1} s_i \, (X_{t - (k-1-i) d} \ll n_i), \quad
        S_t = \sum_{l=1}^{N} [A_t \ge \theta_l]

    Made by `MulFreePSN.to_shift` or `to_shift`, not trained. The taps of a channel are :math:`s_i 2^{e_i}` with s = -1, 0 or
    1; sums count in units of :math:`u = 2^{\min e - f}`, so that :math:`n_i = e_i - \min e` is never a shift to the right and
    nothing is lost. :math:`\theta_l` is the least sum at which the floating point neuron fires l times (N = 1 for
    `Binary`); for `Binary` it is -b / u, rounded up.

    **The spikes are equal bit for bit** to those of the `MulFreePSN` in ``eval()``, for input of the dtype of its parameters,
    because its sums are exact: a product by a power of two is, and all partial sums are multiples of u below
    :math:`2^p u`, p = 24 bits in float32 and 53 in float64, as long as :math:`|X| \sum_i 2^{n_i} \le 2^p`. The bias is added
    last, and rounding does not change the order of numbers, so the spikes are a monotone function of the exact sum;
    :math:`\theta` is found by bisection of that very function. Input outside these bounds is refused; `limit` ``[C]`` is the
    largest :math:`|X|`. Within them int32 (int64 for float64) holds every sum.

    Args:
        taps: ``[C, k]``, each 0 or plus or minus a power of two, newest last.
        bias: ``[C]``.
        dilation: d.
        fraction_bits: f.
        firing: `Binary` or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]`` of the same dtype. An integer x is X; a floating point x is scaled
    by 2^f, and has to be a multiple of 2^-f.

    Raises:
        InputError: as `MulFreePSN.to_shift`.
    """

    signs: Tensor
    shifts: Tensor
    thresholds: Tensor
    limit: Tensor
    unit: Tensor

    def __init__(self, taps: Tensor, bias: Tensor, *, dilation: int, fraction_bits: int, firing: Firing) -> None:
        super().__init__()
        self.channels, self.kernel_size = taps.shape
        self.dilation = dilation
        self.fraction_bits = fraction_bits
        self.firing = firing
        mantissas, exponents = torch.frexp(taps)
        absent = taps == 0.0
        if fraction_bits < 0:
            raise InputError(f"ShiftPSN: fraction_bits is {fraction_bits}, expected 0 (integers) or more.")
        if not bool((absent | (mantissas.abs() == 0.5)).all() & bias.isfinite().all()):
            raise InputError("ShiftPSN: expected taps that are 0 or plus or minus a power of two, and a finite bias.")
        whole = torch.int64 if taps.dtype == torch.float64 else torch.int32
        finfo = torch.finfo(taps.dtype)
        digits = 1 - round(math.log2(finfo.eps))
        lowest = exponents.masked_fill(absent, torch.iinfo(torch.int32).max).amin(1)
        lowest = torch.where(absent.all(1), 0, lowest)
        shifts = (exponents - lowest.unsqueeze(1)).masked_fill(absent, 0)
        # No more than 2^digits units in all.
        reach = (~absent).long().bitwise_left_shift(shifts.clamp(max=digits + 1).long()).sum(1)
        limit = 2**digits // reach.clamp(min=1)
        point = lowest - 1 - fraction_bits  # frexp's mantissa is 1/2
        inexact = (limit < 1) | (point < math.log2(finfo.tiny)) | (point + digits >= math.log2(finfo.max))
        for channel in inexact.nonzero().flatten().tolist():
            raise InputError(
                f"ShiftPSN: channel {channel} has taps {taps[channel].tolist()} for input of {fraction_bits} fraction bits, "
                f"whose sums {taps.dtype} does not hold exactly in its {digits} bits. Set its negligible taps to zero, or "
                f"use fewer fraction_bits."
            )
        unit = taps.new_tensor([2.0**exponent for exponent in point.tolist()])
        self.register_buffer("signs", taps.sign().to(whole))
        self.register_buffer("shifts", shifts.to(whole))
        self.register_buffer("thresholds", _thresholds(bias, unit, firing, 2**digits).to(whole))
        self.register_buffer("limit", limit.to(whole))
        self.register_buffer("unit", unit)
        self.eval()

    def initial_state(self, x_t: Tensor) -> ShiftPSNState:
        """At rest: no inputs seen."""
        width = (self.kernel_size - 1) * self.dilation
        return ShiftPSNState(x_t.new_zeros((x_t.shape[0], width, *x_t.shape[1:]), dtype=self.shifts.dtype))

    def forward(
        self, x: Tensor, state: ShiftPSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, ShiftPSNState]:
        """Run over all of time at once; see `Temporal.forward`.

        Raises:
            InputError: the input is no multiple of 2^-f or beyond `limit` (checked in eager mode only).
        """
        sums, window = self._sums(x, state, lengths)
        reached = [sums >= _over_channels(threshold, x) for threshold in self.thresholds]
        spikes = torch.stack(reached).sum(0).to(x.dtype)
        return zero_padding(spikes, lengths), ShiftPSNState(window)

    def _sums(self, x: Tensor, state: ShiftPSNState | None, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """A, and the window after it."""
        check_channels(self, x, 2, self.channels)
        rest = self.initial_state(x.new_empty(x.shape[1:]))
        self.unpack(state, ShiftPSNState)
        if state is not None:
            check_state("ShiftPSN", state, rest)
        before = (rest if state is None else state).window.movedim(1, 0)
        fixed = self._fixed_point(zero_padding(x, lengths))
        padded = torch.cat([before, fixed])
        sums = torch.zeros_like(fixed)
        for tap in range(self.kernel_size):
            first = tap * self.dilation
            shifted = padded[first : first + len(x)] << _over_channels(self.shifts[:, tap], x)
            sign = _over_channels(self.signs[:, tap], x)
            sums = torch.where(sign > 0, sums + shifted, torch.where(sign < 0, sums - shifted, sums))
        return sums, ops.shift_window(before, fixed, lengths).movedim(0, 1)

    def _fixed_point(self, x: Tensor) -> Tensor:
        scaled = x.to(compute_dtype(x)) * 2.0**self.fraction_bits if x.is_floating_point() else x.long()
        if not torch.compiler.is_compiling():
            # Written so that NaN is refused too.
            if not bool((scaled == scaled.round()).all()):
                raise InputError(
                    f"ShiftPSN: x has values that are no multiples of 2^-{self.fraction_bits}, for which its spikes would "
                    f"not be those of the MulFreePSN. Put what comes before it on that grid, such as the weights of a "
                    f"linear layer by round(w 2^n) / 2^n with n fraction bits, or use more fraction_bits."
                )
            limit = _over_channels(self.limit, x)
            if not bool(((scaled >= -limit) & (scaled <= limit)).all()):
                raise InputError(
                    f"ShiftPSN: x has values beyond its limit, {int(self.limit.min())} 2^-{self.fraction_bits} in the "
                    f"channel where it is lowest: the floating point sum would not be exact. Use fewer fraction_bits, "
                    f"or scale the input down."
                )
        return scaled.to(self.shifts.dtype)

    @torch.no_grad()
    def trace(self, x: Tensor, state: ShiftPSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; the membrane counts from the first threshold, which is put where that of `firing` is."""
        sums, _ = self._sums(x, state, None)
        unit = _over_channels(self.unit, x)
        # At a membrane of 1/2 an integer neuron is still silent; the least sum at which it fires is a unit above.
        start = self.firing.threshold if isinstance(self.firing, Binary) else 0.5 + unit
        return {"membrane": start + (sums - _over_channels(self.thresholds[0], x)) * unit}

    def cost(self) -> Cost:
        """As `MulFreePSN.cost`."""
        k = self.kernel_size
        return Cost(shifts=k, additions=k, state_bytes=4 * (k - 1) * self.dilation)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return (
            f"{self.channels}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"fraction_bits={self.fraction_bits}, firing={self.firing}"
        )


def _thresholds(bias: Tensor, unit: Tensor, firing: Firing, largest: int) -> Tensor:
    """The least sum ``[N, C]``, in units, with l = 1, ..., N spikes; largest + 1 where no sum up to `largest` has them."""
    levels = firing.levels if isinstance(firing, Integer) else 1
    spec: FiringSpec = fire_at_zero(firing)
    wanted = torch.arange(1, levels + 1, device=bias.device).unsqueeze(1)
    low = torch.full((levels, len(bias)), -largest, device=bias.device)
    high = torch.full_like(low, largest + 1)
    while bool((low < high).any()):
        middle = torch.div(low + high, 2, rounding_mode="floor")
        fires = ops.fire(middle.to(bias.dtype) * unit + bias, spec) >= wanted
        # Where it is found, middle is low, and largest + 1 fires nobody.
        low, high = torch.where(fires | (low == high), low, middle + 1), torch.where(fires, middle, high)
    return low


def to_shift(model: Temporal, fraction_bits: int = 0) -> Temporal:
    """A copy of a trained network in evaluation mode, with each `MulFreePSN` replaced by its `ShiftPSN`.

    Its spikes are those of ``model.eval()`` bit for bit, as long as each current on its way into a neuron is a multiple of
    2^-f and not too large; a `ShiftPSN` refuses all others. After a linear layer on spikes they are if its weights and bias
    are multiples of 2^-f: round them first, and see what that costs the network, as in
    ``linear.weight.copy_((linear.weight * 2**f).round() / 2**f)``.

    Args:
        model: it is not changed.
        fraction_bits: f, for all layers; `MulFreePSN.to_shift` converts a single one.

    Raises:
        InputError: there is no `MulFreePSN` in the model; or as `MulFreePSN.to_shift`, after the name of the layer.
    """
    found = [name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, MulFreePSN)]
    if not found:
        raise InputError(f"to_shift: {type(model).__name__} has no MulFreePSN to convert.")
    converted = copy.deepcopy(model).eval()
    for name in found:
        try:
            neuron = cast(MulFreePSN, model.get_submodule(name)).to_shift(fraction_bits)
        except InputError as error:
            raise InputError(f"{name or type(model).__name__}: {error}") from error
        if not name:
            return neuron
        converted.set_submodule(name, neuron)
    return converted
