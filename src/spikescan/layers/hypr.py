"""Hybrid propagation: chunks of time in parallel, eligibilities from chunk to chunk (arXiv 2506.14464)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.layers.recurrent import Recurrent, RecurrentState
from spikescan.neurons.base import Learns, State, Temporal, check_carried, check_channels, detach
from spikescan.neurons.padding import at_last_valid, zero_padding

__all__ = ["HYPR", "HYPRState"]


class HYPRState(NamedTuple):
    """What is carried from chunk to chunk, without a graph."""

    layer: RecurrentState
    eligibility: Tensor
    """``[B, n, C, J + P]``: of each of the n numbers that a neuron carries, the derivative by each of the J weights into it,
    those of W, of V if there is one, and the bias, and by each of the P numbers that its own parameters come to."""


class HYPR(Temporal):
    r"""A recurrent layer that is trained chunk by chunk, with memory that does not grow with time.

    It gives the spikes of the layer it wraps. For a neuron with state s and the P numbers p that its own parameters come to
    (decay and gain of a `ParametricLIF`), given z = (x, S of the step before, 1) through the weights M = (W, V, b),

    .. math:: s_t, S_t = f(s_{t-1}, I_t, p), \quad I_t = M z_t

    the eligibility is what the state owes to M and p, with the spikes that come back taken as given:

    .. math::
        e_t = \frac{\partial s_t}{\partial s_{t-1}} e_{t-1} +
        \Big(\frac{\partial s_t}{\partial I_t} \otimes z_t, \frac{\partial s_t}{\partial p}\Big), \quad
        \frac{dL}{d(M, p)} = \sum_t \frac{\partial L}{\partial S_t} \Big(\frac{\partial S_t}{\partial s_{t-1}} e_{t-1} +
        \Big(\frac{\partial S_t}{\partial I_t} \otimes z_t, \frac{\partial S_t}{\partial p}\Big)\Big)

    and from p the gradient goes on to the parameters.

    A call is a chunk. It runs the layer through the chunk in sequence without a graph, then all its steps again in parallel,
    since the currents are known, and carries the eligibility to the chunk's end. ``loss.backward()`` on what comes out
    goes back through this chunk; where it reaches the chunk's beginning, the eligibility takes the place of all steps before.
    Between calls: the memory of one chunk, and B n C (J + P) numbers.

    What the gradient is, against backpropagation through time (BPTT), for losses of each chunk's own outputs:

    * without V: the same, for any length of the chunks;
    * with V: what reaches a spike through V is left out, within a chunk as well, as in e-prop (Bellec et al., 2020);
    * of the layers below, and of anything with a memory above: paths through the state that crosses a chunk's end
      are left out. Chunks of one step leave all of them out; longer ones find more of them.

    Of the laws that everything temporal is held to, two are not its own: no gradient passes through the state that it returns,
    and it does not compile as one graph, as its forward pass holds backward ones.

    Source: arXiv 2506.14464, whose S-stage and P-stage these are; the P-stage is here the neuron's own backward pass over the
    chunk, one for each number of its state. An update between two chunks is possible; the eligibility is then of weights that
    have since moved a little.

    Args:
        layer: what is trained; its parameters are shared, and it may be run without `HYPR` at any time. Its neuron is one
            whose elements do not see each other and draws no random numbers. Its own parameters are trained if it is the
            step of a cell (`LIF` and its relatives, `PRF`, `PMSN`, ...; `GLIF` has a number of P a time step); those of others,
            such as `DSN`, have to be frozen.

    Shapes: as the layer.

    Raises:
        InputError: the neuron is not such a one.
    """

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        neuron, name = layer.neuron, type(layer.neuron).__name__
        if neuron.mixes_channels or neuron.stochastic:
            why = "mixes channels" if neuron.mixes_channels else "draws random numbers"
            raise InputError(f"HYPR: {name} {why}; take a neuron whose elements are on their own, such as LIF().")
        trained = [key for key, parameter in neuron.named_parameters() if parameter.requires_grad]
        if trained and not isinstance(neuron, Learns):
            raise InputError(
                f"HYPR trains a neuron's own parameters where it is the step of a cell, such as ParametricLIF(), but not "
                f"{name}'s {', '.join(trained)}; call layer.neuron.requires_grad_(False) to keep them as they are."
            )
        self.layer = layer
        self.length_bound = layer.length_bound

    def initial_state(self, x_t: Tensor) -> HYPRState:
        """At rest, owing nothing."""
        layer = self.layer.initial_state(x_t)
        numbers = _flat(layer.neuron, self.layer.channels)
        laterals = 0 if self.layer.lateral is None else self.layer.channels
        owed_to = self.layer.inputs + laterals + 1 + len(self._learnt(numbers[:, 0]))
        return HYPRState(layer, numbers.new_zeros(*numbers.shape, owed_to))

    def forward(
        self, x: Tensor, state: HYPRState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, HYPRState]:
        """One chunk, ``[T, B, inputs]`` to ``[T, B, channels]``; see `Temporal.forward`."""
        carried, eligibility = self._started(x, state)
        x = zero_padding(x, lengths)
        with torch.no_grad():
            currents, fed_back = self._in_sequence(x, carried, lengths)
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            dtype = eligibility.dtype
            presynaptic = torch.cat([x.to(dtype), *fed_back, x.new_ones(*x.shape[:2], 1, dtype=dtype)], dim=2)
            weight = self._weight().to(dtype)
            known = _Weighted.apply(currents.requires_grad_(), presynaptic, weight)  # type: ignore[no-untyped-call]
            numbers = _flat(carried.neuron, self.layer.channels).detach().requires_grad_()
            learnt = self._learnt(numbers[:, 0]).to(dtype)
            owed_to = torch.cat([weight, learnt.t()], dim=1)
            began = _Carried.apply(numbers, eligibility, owed_to)  # type: ignore[no-untyped-call]
            # Each sample has its own, so that what it owes to them is known.
            own = learnt.expand(x.shape[1], *learnt.shape).requires_grad_()
            spikes, after = self._run(own, known, _shaped(began, carried.neuron), lengths)
            ended = _flat(after, self.layer.channels)
            eligibility = _carry_over(ended, (began, known, own), presynaptic.detach(), eligibility)
        last = at_last_valid(spikes.detach().to(dtype), carried.spikes, lengths)
        state = HYPRState(RecurrentState(detach(after), last), eligibility)
        return spikes if torch.is_grad_enabled() else spikes.detach(), state

    def _learnt(self, like: Tensor) -> Tensor:
        """What the neuron's own parameters come to, ``[P, C]``, for input like ``[B, C]``."""
        neuron = self.layer.neuron
        return neuron.learnt(like) if isinstance(neuron, Learns) else like.new_empty(0, self.layer.channels)

    def _run(self, learnt: Tensor, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """The neuron over all steps of a chunk, with these numbers for its parameters."""
        neuron = self.layer.neuron
        if isinstance(neuron, Learns):
            return neuron.forward_with(learnt, x, state, lengths)
        return neuron(x, state, lengths)  # type: ignore[no-any-return]

    def _started(self, x: Tensor, state: HYPRState | None) -> HYPRState:
        """The state to go on from."""
        check_channels(self.layer, x, 2, self.layer.inputs)
        rest = self.initial_state(x.new_empty(x.shape[1:]))
        if state is None:
            return rest
        layer, eligibility = self.unpack(state, HYPRState)
        expected = rest.eligibility
        check_carried("HYPR", "eligibility", eligibility, expected.shape, expected.dtype, expected.device)
        return HYPRState(layer, eligibility)

    def _in_sequence(self, x: Tensor, carried: RecurrentState, lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The currents ``[T, B, C]``, and what V was given at each step, ``[T, B, C]`` (none without V)."""
        if self.layer.lateral is None:
            return self.layer.linear(x), []
        currents, spikes, _ = self.layer.unroll(x, carried, lengths)
        before = carried.spikes.unsqueeze(0)
        return currents, [torch.cat([before, spikes.to(before.dtype)])[:-1]]

    def _weight(self) -> Tensor:
        """(W, V, b), ``[C, J]``."""
        linear, lateral = self.layer.linear, self.layer.lateral
        return torch.cat(
            [linear.weight, *([] if lateral is None else [lateral.weight]), linear.bias.unsqueeze(1)], dim=1
        )


class _Weighted(torch.autograd.Function):
    """Currents that are the weighted sum of ``presynaptic``, with the values they had when the layer ran in sequence.

    The same product over a whole chunk rounds differently, and that must not move a spike.
    """

    @staticmethod
    def forward(ctx: Any, currents: Tensor, presynaptic: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(presynaptic, weight)
        return currents.view_as(currents)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        presynaptic, weight = ctx.saved_tensors
        grad = grad.to(weight.dtype)
        return None, grad @ weight, grad.flatten(0, 1).t() @ presynaptic.flatten(0, 1)


class _Carried(torch.autograd.Function):
    """The numbers of a carried state ``[B, n, C]`` as what the weights made of them: their derivative is the eligibility."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, eligibility: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(eligibility)
        return numbers.view_as(numbers)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        (eligibility,) = ctx.saved_tensors
        return None, None, torch.einsum("bnc,bncj->cj", grad, eligibility)


def _carry_over(
    ended: Tensor, owing: tuple[Tensor, Tensor, Tensor], presynaptic: Tensor, eligibility: Tensor
) -> Tensor:
    """The eligibility at the end of a chunk.

    Elements do not see each other, so the gradient of the sum over all of them of one number that a neuron ends with holds the
    derivative of each: by the numbers it began with ``[B, n, C]``, by its own currents ``[T, B, C]``, and by what is learnt
    ``[B, P, C]``.
    """
    rows = []
    for number in ended.unbind(1):
        by_began, by_currents, by_learnt = torch.autograd.grad(
            number.sum(), owing, retain_graph=True, materialize_grads=True
        )
        of_weights = by_currents.to(presynaptic.dtype).permute(1, 2, 0) @ presynaptic.transpose(0, 1)
        of_chunk = torch.cat([of_weights, by_learnt.transpose(1, 2)], dim=2)
        rows.append(of_chunk + torch.einsum("bnc,bncj->bcj", by_began, eligibility))
    return torch.stack(rows, dim=1)


def _flat(state: State, channels: int) -> Tensor:
    """The numbers ``[B, n, C]`` that the neurons of a layer carry, from fields ``[B, C]`` and ``[B, w, C]``.

    Integers, such as a count of steps, are no numbers of a neuron.
    """
    fields = {name: each for name, each in zip(state._fields, state, strict=True) if each.is_floating_point()}
    for name, field in fields.items():
        if field.shape[-1] != channels:
            raise InputError(f"HYPR: the neuron carries {name} {list(field.shape)}, expected [B, *, {channels}].")
    return torch.cat(
        [field.reshape(len(field), field.shape[1:-1].numel(), channels) for field in fields.values()], dim=1
    )


def _shaped(numbers: Tensor, like: State) -> State:
    """The inverse of `_flat`, with the integers of `like`."""
    counts = [field.shape[1:-1].numel() for field in like if field.is_floating_point()]
    parts = iter(torch.split(numbers, counts, dim=1))
    return type(like)(*(next(parts).reshape(each.shape) if each.is_floating_point() else each for each in like))
