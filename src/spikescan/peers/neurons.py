"""Neurons of other libraries as neurons of this one, and back: with the same spikes, or refused by name."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.firing import Binary, Sigmoid
from spikescan.names import check_names, choose_named
from spikescan.neurons import IF, LIF, PSN, DelayedResetLIF, MaskedPSN, Neuron, ParametricLIF, SlidingPSN
from spikescan.neurons.conversion import decay_from, tau_from

__all__ = ["PeerNeuron", "from_peer", "list_peers", "required_arguments", "to_peer"]


@dataclass(frozen=True)
class PeerNeuron:
    """A neuron of another library.

    Args:
        name: library and class, such as ``"spikingjelly.LIFNode"``; one of `list_peers()`.
        state: its state dict.
        arguments: those of its constructor that decide on its spikes. `from_peer` needs those that its state dict does not
            hold (`required_arguments`); others are compared with what it holds. ``None`` is a value, as in ``v_reset=None``.
    """

    name: str
    state: Mapping[str, Tensor] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def list_peers() -> list[str]:
    """The names that a `PeerNeuron` may have."""
    return list(_READERS)


def required_arguments(name: str) -> tuple[str, ...]:
    """The constructor arguments that the state dict of this peer does not hold and that its spikes depend on."""
    return choose_named("peer neuron", _READERS, name).arguments


def from_peer(peer: PeerNeuron) -> Neuron:
    """The neuron here that fires as a neuron of another library does.

    The equations are equal, so that spikes differ at most where rounding decides: a membrane within rounding of the threshold.

    * SpikingJelly's IFNode, LIFNode and ParametricLIFNode are inclusive at the threshold, as all neurons here.
      ``v_reset=None`` is the soft reset. A hard reset to another voltage than 0 is one to 0 with all voltages counted from
      `v_reset`: the threshold becomes v_threshold - v_reset. ``decay_input`` is `scale_input`. ``detach_reset`` may be given,
      and is False by default, as theirs. The surrogate is their default `Sigmoid(4)`.
    * SpikingJelly's PSN, MaskedPSN and SlidingPSN keep minus the threshold in ``bias``, as here, but ``[T, 1]``; the order of
      a MaskedPSN is read from ``mask0``, lambda from ``_lambda_``; the newest tap of a SlidingPSN comes last in both.
    * snnTorch's Leaky fires strictly above its threshold: here, from the next float32 number on. "none" and "zero" are the
      resets None and "hard" of `LIF` (of `IF` at beta = 1). "subtract" is `DelayedResetLIF`, whose reset so takes off one unit
      in the last place more.

    Raises:
        InputError: an unknown peer; a missing or unknown argument or tensor; or what no neuron here does: a beta or threshold
            of its own for each neuron, a graded spike, "subtract" at beta = 0 or with ``reset_delay=False``. What is in
            neither the state dict nor the arguments (snnTorch's ``inhibition`` and ``state_quant``) is taken to be off.
    """
    reader = choose_named("peer neuron", _READERS, peer.name)
    check_names(peer.name, "argument", peer.arguments, (*reader.arguments, *reader.optional, *reader.held))
    missing = [name for name in reader.arguments if name not in peer.arguments]
    if missing:
        raise InputError(
            f"{peer.name}: its state dict does not hold {', '.join(missing)}; give the values that it was built with."
        )
    found, wanted = sorted(peer.state), sorted(reader.tensors)
    if found != wanted:
        raise InputError(
            f"{peer.name}: its state dict holds {', '.join(wanted) or 'nothing'}, but this one holds "
            f"{', '.join(found) or 'nothing'}. For a layer of a network, take below(state, 'its name')."
        )
    neuron = reader.read(dict(peer.state), dict(peer.arguments))
    for name in sorted(reader.held.keys() & peer.arguments.keys()):
        given, held = peer.arguments[name], reader.held[name](peer.state)
        if given != held and not (isinstance(held, float) and math.isclose(given, held, rel_tol=1e-6)):
            raise InputError(
                f"{peer.name}: {name} is given as {given!r}, but its state dict holds {held!r}; leave it out."
            )
    return neuron


def to_peer(neuron: Neuron, library: Literal["spikingjelly", "snntorch"]) -> PeerNeuron:
    """The neuron of another library that fires as a neuron here does: the way back of `from_peer`.

    Build it with the arguments, the reset and the surrogate as you train, and load the state::

        peer = to_peer(neuron, "spikingjelly")
        theirs = getattr(spikingjelly.activation_based.neuron, peer.name.split(".")[1])(**peer.arguments)
        theirs.load_state_dict(peer.state)

    Raises:
        InputError: the library has no such neuron: integer spikes, no reset (SpikingJelly), a soft reset before the leak or a
            scaled input (snnTorch), another neuron.
    """
    writers = choose_named("library", {"spikingjelly": _to_spikingjelly, "snntorch": _to_snntorch}, library)
    if not isinstance(neuron.firing, Binary):
        raise InputError(
            f"to_peer: {type(neuron).__name__} fires {neuron.firing}; only Binary spikes can be written for {library}."
        )
    return writers(neuron, neuron.firing)


@dataclass(frozen=True)
class _Reader:
    arguments: tuple[str, ...]
    """That must be given."""
    tensors: tuple[str, ...]
    """Of its state dict."""
    read: Callable[[dict[str, Tensor], dict[str, Any]], Neuron]
    optional: tuple[str, ...] = ()
    """Arguments that have a default."""
    held: Mapping[str, Callable[[Mapping[str, Tensor]], Any]] = field(default_factory=dict)
    """Arguments that the state dict holds too."""


# SpikingJelly -------------------------------------------------------------------------------------------------------------


def _reset(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options of ours that v_threshold and v_reset are."""
    threshold, v_reset = arguments["v_threshold"], arguments["v_reset"]
    firing = Binary(float(threshold) - float(v_reset or 0.0), Sigmoid(4.0))
    detach = bool(arguments.get("detach_reset", False))
    return {"reset": "soft" if v_reset is None else "hard", "detach_reset": detach, "firing": firing}


def _read_if(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    return IF(**_reset(arguments))


def _read_lif(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    return LIF(float(arguments["tau"]), scale_input=bool(arguments["decay_input"]), **_reset(arguments))


def _read_parametric_lif(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    neuron = ParametricLIF(scale_input=bool(arguments["decay_input"]), **_reset(arguments))
    return _loaded(neuron, {"weight": _scalar("spikingjelly.ParametricLIFNode", "w", state["w"])})


def _read_psn(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    steps = _square("spikingjelly.PSN", state)
    return _loaded(PSN(steps), {"weight": state["weight"], "bias": state["bias"].flatten()})


def _read_masked_psn(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    name = "spikingjelly.MaskedPSN"
    steps = _square(name, state)
    mask = state["mask0"].double()
    order = int(mask[-1].sum())
    ones = torch.ones(steps, steps, dtype=torch.float64)
    if not torch.equal(mask, ones.tril() - ones.tril(-order)):
        raise InputError(f"{name}: mask0 is not the band M_k of a masked PSN: 1 where j <= i <= j + k - 1.")
    # Theirs takes any lambda of 1 or more for 1.
    mask_weight = min(float(_scalar(name, "_lambda_", state["_lambda_"])), 1.0)
    neuron = MaskedPSN(steps, order, mask_weight=mask_weight)
    return _loaded(neuron, {"weight": state["weight"], "bias": state["bias"].flatten()})


def _read_sliding_psn(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    name = "spikingjelly.SlidingPSN"
    weight = state["weight"]
    if weight.dim() != 1:
        raise InputError(f"{name}: weight is {list(weight.shape)}, expected [k].")
    return _loaded(SlidingPSN(len(weight)), {"weight": weight, "bias": _scalar(name, "bias", state["bias"])})


def _to_spikingjelly(neuron: Neuron, firing: Binary) -> PeerNeuron:
    if isinstance(neuron, PSN):
        return PeerNeuron("spikingjelly.PSN", _psn_state(neuron), {"T": neuron.time_steps})
    if isinstance(neuron, MaskedPSN):
        ones = torch.ones(neuron.time_steps, neuron.time_steps)
        masks = {
            "_lambda_": torch.tensor(neuron.mask_weight),
            "mask0": ones.tril() - ones.tril(-neuron.order),
            "mask1": ones,
        }
        return PeerNeuron(
            "spikingjelly.MaskedPSN", _psn_state(neuron) | masks, {"k": neuron.order, "T": neuron.time_steps}
        )
    if isinstance(neuron, SlidingPSN):
        state = {"weight": neuron.weight.detach().clone(), "bias": neuron.bias.detach().clone()}
        return PeerNeuron("spikingjelly.SlidingPSN", state, {"k": neuron.order})
    if not isinstance(neuron, IF | LIF | ParametricLIF):
        raise _no_such_neuron(neuron, "SpikingJelly", "PSN, MaskedPSN, SlidingPSN, IF, LIF, ParametricLIF")
    if neuron.reset is None:
        raise InputError(f"to_peer: {type(neuron).__name__} has no reset; SpikingJelly's nodes always reset.")
    arguments = {
        "v_threshold": firing.threshold,
        "v_reset": None if neuron.reset == "soft" else 0.0,
        "detach_reset": neuron.detach_reset,
    }
    if isinstance(neuron, IF):
        return PeerNeuron("spikingjelly.IFNode", {}, arguments)
    arguments["decay_input"] = neuron.scale_input
    if isinstance(neuron, LIF):
        return PeerNeuron("spikingjelly.LIFNode", {}, {"tau": neuron.tau} | arguments)
    return PeerNeuron("spikingjelly.ParametricLIFNode", {"w": neuron.weight.detach().clone()}, arguments)


def _psn_state(neuron: PSN | MaskedPSN) -> dict[str, Tensor]:
    return {"weight": neuron.weight.detach().clone(), "bias": neuron.bias.detach().clone().unsqueeze(1)}


# snnTorch -----------------------------------------------------------------------------------------------------------------

_LEAKY = "snntorch.Leaky"
_RESETS = ("subtract", "zero", "none")  # snnTorch's reset_dict, by number


def _read_leaky(state: dict[str, Tensor], arguments: dict[str, Any]) -> Neuron:
    beta = min(max(float(_scalar(_LEAKY, "beta", state["beta"])), 0.0), 1.0)  # as its forward pass does
    threshold = float(_scalar(_LEAKY, "threshold", state["threshold"]))
    graded = float(_scalar(_LEAKY, "graded_spikes_factor", state["graded_spikes_factor"]))
    reset = _RESETS[int(state["reset_mechanism_val"])]
    if graded != 1.0:
        raise InputError(
            f"{_LEAKY}: graded_spikes_factor is {graded}, and spikes here are 1; multiply the weights that follow by it."
        )
    if reset == "subtract" and beta < 1.0:
        if not arguments["reset_delay"]:
            raise InputError(
                f"{_LEAKY}: 'subtract' with reset_delay=False fires once more where a spike leaves the membrane above the "
                f"threshold, which no neuron here does. 'zero', 'none' and reset_delay=True can be read."
            )
        return DelayedResetLIF(tau_from(beta), firing=Binary(_above(threshold)))
    if reset == "subtract" and not arguments["reset_delay"]:
        raise InputError(
            f"{_LEAKY}: 'subtract' with reset_delay=False is no neuron here; reset_delay=True can be read."
        )
    firing = Binary(_above(threshold))
    ours: Literal["soft", "hard"] | None = {"subtract": "soft", "zero": "hard", "none": None}[reset]
    detach = bool(arguments["reset_delay"])  # a reset at once keeps its gradient there
    if beta == 1.0:
        return IF(reset=ours, detach_reset=detach, firing=firing)
    return LIF(tau_from(beta), reset=ours, detach_reset=detach, scale_input=False, firing=firing)


def _to_snntorch(neuron: Neuron, firing: Binary) -> PeerNeuron:
    if isinstance(neuron, DelayedResetLIF):
        reset: str | None = "soft"
    elif isinstance(neuron, IF | LIF | ParametricLIF):
        reset = neuron.reset
        if not isinstance(neuron, IF) and neuron.scale_input:
            raise InputError(
                f"to_peer: {type(neuron).__name__} divides its input by tau, and snnTorch's Leaky does not; divide the "
                f"weights before it by tau = {neuron.tau:.6g} and pass scale_input=False."
            )
        if not isinstance(neuron, IF) and reset == "soft":
            raise InputError(
                f"to_peer: {type(neuron).__name__} takes the threshold off before the leak, snnTorch's Leaky after it; "
                f"DelayedResetLIF does as it, and reset='hard' and None are alike."
            )
    else:
        raise _no_such_neuron(neuron, "snnTorch", "IF, LIF, ParametricLIF, DelayedResetLIF")
    beta = 1.0 if isinstance(neuron, IF) else decay_from(neuron.tau)
    mechanism = {"soft": "subtract", "hard": "zero", None: "none"}[reset]
    threshold = torch.tensor(_below(firing.threshold))
    state = {
        "threshold": threshold,
        "graded_spikes_factor": torch.tensor(1.0),
        "reset_mechanism_val": torch.tensor(_RESETS.index(mechanism)),
        "beta": torch.tensor(beta),
    }
    arguments = {"beta": beta, "threshold": float(threshold), "reset_mechanism": mechanism, "reset_delay": True}
    return PeerNeuron(_LEAKY, state, arguments)


# Shared -------------------------------------------------------------------------------------------------------------------


def _above(threshold: float) -> float:
    """The next float32 number: from there on fires what fires strictly above the threshold."""
    return float(torch.nextafter(torch.tensor(threshold), torch.tensor(math.inf)))


def _below(threshold: float) -> float:
    return float(torch.nextafter(torch.tensor(threshold), torch.tensor(-math.inf)))


def _scalar(peer: str, name: str, tensor: Tensor) -> Tensor:
    """One value for the whole layer.

    Raises:
        InputError: there are several.
    """
    values = set(tensor.flatten().tolist())
    if len(values) != 1:
        raise InputError(
            f"{peer}: {name} is {list(tensor.shape)} with {len(values)} values, but a neuron here has one for its layer."
        )
    return tensor.flatten()[0]


def _square(peer: str, state: dict[str, Tensor]) -> int:
    weight, bias = state["weight"], state["bias"]
    if weight.dim() != 2 or weight.shape[0] != weight.shape[1] or bias.numel() != len(weight):
        raise InputError(
            f"{peer}: weight is {list(weight.shape)} and bias {list(bias.shape)}, expected [T, T] and [T, 1]."
        )
    return len(weight)


def _loaded(neuron: Neuron, values: dict[str, Tensor]) -> Neuron:
    neuron.load_state_dict(values)
    return neuron


def _no_such_neuron(neuron: Neuron, library: str, known: str) -> InputError:
    return InputError(f"to_peer: {library} has no {type(neuron).__name__}; these can be written for it: {known}.")


_NODE = ("v_threshold", "v_reset")
_READERS: dict[str, _Reader] = {
    "spikingjelly.IFNode": _Reader(_NODE, (), _read_if, ("detach_reset",)),
    "spikingjelly.LIFNode": _Reader(("tau", "decay_input", *_NODE), (), _read_lif, ("detach_reset",)),
    "spikingjelly.ParametricLIFNode": _Reader(("decay_input", *_NODE), ("w",), _read_parametric_lif, ("detach_reset",)),
    "spikingjelly.PSN": _Reader((), ("weight", "bias"), _read_psn, held={"T": lambda state: len(state["weight"])}),
    "spikingjelly.MaskedPSN": _Reader(
        (),
        ("weight", "bias", "_lambda_", "mask0", "mask1"),
        _read_masked_psn,
        held={"T": lambda state: len(state["weight"]), "k": lambda state: int(state["mask0"][-1].sum())},
    ),
    "spikingjelly.SlidingPSN": _Reader(
        (), ("weight", "bias"), _read_sliding_psn, held={"k": lambda state: len(state["weight"])}
    ),
    "snntorch.Leaky": _Reader(
        ("reset_delay",),
        ("threshold", "beta", "graded_spikes_factor", "reset_mechanism_val"),
        _read_leaky,
        held={
            "beta": lambda state: float(state["beta"]),
            "threshold": lambda state: float(state["threshold"]),
            "reset_mechanism": lambda state: _RESETS[int(state["reset_mechanism_val"])],
        },
    ),
}
