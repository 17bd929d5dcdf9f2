"""Which neurons are compared, and the settings that each brings along: the one place that decides what is fair.

A setting follows from the task alone, never from a neuron's score: the time steps of a sample, and the range of time constants
that the recipe gives its own neuron (2 to 200 steps, or the whole sample if it is shorter, where it gives none). Whoever has
time constants gets that range, whoever has a window of the past a window as the papers have it, and all else stays at the
defaults of the neuron, which are its paper's. The recipe's own neuron keeps the recipe's options.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from spikescan.names import choose_named
from spikescan.neurons.registry import list_neurons

__all__ = ["CONTENDERS", "Contender", "Scale", "find_contender", "scale_for"]

_FASTEST, _SLOWEST = 2.0, 200.0
_WINDOW = 32


class Scale(NamedTuple):
    """How long things take in a task, in time steps."""

    time_steps: int
    """T of a sample."""
    fastest: float
    """The shortest time constant that a neuron should start with."""
    slowest: float
    """The longest."""


@dataclass(frozen=True)
class Contender:
    """A neuron with its settings.

    Args:
        neuron: its name in the registry.
        options: of its constructor, for a task.
        why: the reason for them, in a line of the published page.
    """

    neuron: str
    options: Callable[[Scale], dict[str, Any]]
    why: str


def _middle(scale: Scale) -> float:
    """The geometric middle of the time constants, for a neuron that has one for all channels."""
    return max(1.0, math.sqrt(scale.fastest * scale.slowest))


def _dsn(scale: Scale) -> dict[str, Any]:
    return {"tau": 1.0, "initial_decay": [_decay(scale.fastest), _decay(scale.slowest)]}


def _lif(reset: str | None) -> Callable[[Scale], dict[str, Any]]:
    return lambda scale: {"tau": round(_middle(scale), 3), "scale_input": False, "reset": reset}


_LIF_WHY = (
    "one time constant for all channels: the geometric middle of the range; the input is not divided by it, or a slow "
    "neuron would never reach its threshold"
)

CONTENDERS: dict[str, Contender] = {
    "dsn": Contender(
        "dsn",
        _dsn,
        "time constants log-uniform over the range; decay = sigmoid (tau = 1): with the paper's 0.25 slow neurons forget",
    ),
    "dsn_wide": Contender(
        "dsn",
        lambda scale: _dsn(scale) | {"kernel_size": min(scale.time_steps, _WINDOW)},
        "as dsn, with a gate that sees the last 32 steps, as many as sliding_psn and mulfree_psn do, for the paper's 4",
    ),
    "psn": Contender(
        "psn", lambda scale: {}, "a learnt matrix over all T steps, the future included: it cannot run step by step"
    ),
    "masked_psn": Contender(
        "masked_psn",
        lambda scale: {"order": scale.time_steps},
        "all of the past: its matrix is T x T whatever the order, and its initial weights would leave a short band silent",
    ),
    "sliding_psn": Contender(
        "sliding_psn",
        lambda scale: {"order": min(scale.time_steps, _WINDOW)},
        "the last 32 steps, the paper's longest window",
    ),
    "mulfree_psn": Contender(
        "mulfree_psn",
        lambda scale: {"kernel_size": min(scale.time_steps, _WINDOW), "dilation": 1},
        "the last 32 steps, as sliding_psn; without dilation, which would hide every other step from a layer",
    ),
    "prf": Contender(
        "prf",
        lambda scale: {"tau": 2.0, "step_range": [round(2.0 / scale.slowest, 4), round(2.0 / scale.fastest, 4)]},
        "memories of tau / step: log-uniform over the range",
    ),
    "lif": Contender("lif", _lif("soft"), f"soft reset; {_LIF_WHY}"),
    "lif_hard": Contender("lif", _lif("hard"), f"hard reset; {_LIF_WHY}"),
    "lif_no_reset": Contender("lif", _lif(None), f"no reset; {_LIF_WHY}"),
}
"""By the name that the command line and the table use."""


def find_contender(name: str) -> Contender:
    """The contender of a name; a neuron that has no settings here enters with the defaults of its class.

    Raises:
        InputError: there is neither; the message has the nearest name.
    """
    plain = {neuron: Contender(neuron, lambda scale: {}, "the defaults of its class") for neuron in list_neurons()}
    return choose_named("neuron", {**plain, **CONTENDERS}, name)


def scale_for(time_steps: int, neuron: Mapping[str, Any]) -> Scale:
    """The scale of a task whose samples have so many steps, and whose recipe has the field `neuron`."""
    spread = neuron.get("initial_decay")
    if isinstance(spread, list | tuple) and len(spread) == 2 and all(0.0 < decay < 1.0 for decay in spread):
        return Scale(time_steps, *(-1.0 / math.log(decay) for decay in spread))
    return Scale(time_steps, _FASTEST, max(_FASTEST, min(_SLOWEST, float(time_steps))))


def _decay(steps: float) -> float:
    """Of a time constant."""
    return round(math.exp(-1.0 / steps), 6)
