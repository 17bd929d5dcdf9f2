"""Every neuron by name: what tests, recipes and the command line run over."""

import inspect
from collections.abc import Mapping
from typing import Any

from spikescan.errors import InputError
from spikescan.firing import firing_from
from spikescan.names import check_names, choose_named
from spikescan.neurons.base import Neuron
from spikescan.neurons.dsn import DSN
from spikescan.neurons.dsn_variants import DenseDSN, InterChannelDSN, LowRankDSN, StaticDSN
from spikescan.neurons.lif import IF, ILIF, LIF, ParametricLIF
from spikescan.neurons.lif_variants import ALIF, CLIF, GLIF, KLIF, DelayedResetLIF
from spikescan.neurons.mpe import MPEPSN
from spikescan.neurons.mulfree import MulFreePSN
from spikescan.neurons.para_lif import SPSN, ParaLIF
from spikescan.neurons.pmsn import PMSN
from spikescan.neurons.prf import PRF, S5RF
from spikescan.neurons.psn import PSN, MaskedPSN, SlidingPSN
from spikescan.neurons.psu import IPSU, PSU, RPSU

__all__ = ["create_neuron", "list_neurons", "neuron_class", "neuron_options"]

_NEURONS: dict[str, type[Neuron]] = {
    "dsn": DSN,
    "dsn_static": StaticDSN,
    "dsn_dense": DenseDSN,
    "dsn_low_rank": LowRankDSN,
    "dsn_inter_channel": InterChannelDSN,
    "psn": PSN,
    "masked_psn": MaskedPSN,
    "sliding_psn": SlidingPSN,
    "mpe_psn": MPEPSN,
    "psu": PSU,
    "ipsu": IPSU,
    "rpsu": RPSU,
    "mulfree_psn": MulFreePSN,
    "if": IF,
    "lif": LIF,
    "parametric_lif": ParametricLIF,
    "ilif": ILIF,
    "alif": ALIF,
    "clif": CLIF,
    "glif": GLIF,
    "klif": KLIF,
    "delayed_reset_lif": DelayedResetLIF,
    "prf": PRF,
    "s5_rf": S5RF,
    "para_lif": ParaLIF,
    "spsn": SPSN,
    "pmsn": PMSN,
}
# What the network knows and a recipe need not say.
_FROM_NETWORK = ("channels", "time_steps")
# What a paper uses where the class has no default.
_DEFAULTS: dict[str, dict[str, Any]] = {"masked_psn": {"order": 32}, "sliding_psn": {"order": 32}}


def list_neurons() -> list[str]:
    """The names that `create_neuron` takes."""
    return list(_NEURONS)


def neuron_class(name: str) -> type[Neuron]:
    """The class behind a name.

    Raises:
        InputError: there is no such neuron; the message has the nearest name.
    """
    return choose_named("neuron", _NEURONS, name)


def neuron_options(name: str) -> dict[str, inspect.Parameter]:
    """The constructor options of a neuron, less what the network knows."""
    parameters = inspect.signature(neuron_class(name)).parameters
    return {key: value for key, value in parameters.items() if key not in _FROM_NETWORK}


def create_neuron(
    name: str, channels: int, time_steps: int | None = None, options: Mapping[str, Any] | None = None
) -> Neuron:
    """Make the neuron `name` for a layer.

    Args:
        name: one of `list_neurons()`.
        channels: C of the layer; neurons without channel parameters do not use it.
        time_steps: T, for neurons bound to a length.
        options: further constructor arguments; ``firing`` may also be a name or a mapping, as `firing_from` takes it.

    Raises:
        InputError: an unknown name or option (with the nearest one), or a neuron bound to a length without `time_steps`.
    """
    cls = neuron_class(name)
    known = neuron_options(name)
    given = dict(_DEFAULTS.get(name, {})) | dict(options or {})
    check_names(f"neuron {name}", "option", given, known)
    if "firing" in given:
        given["firing"] = firing_from(given["firing"])
    parameters = inspect.signature(cls).parameters
    if "channels" in parameters:
        given["channels"] = channels
    if "time_steps" in parameters:
        if time_steps is None:
            raise InputError(f"The neuron {name!r} is bound to a number of time steps; pass time_steps.")
        given["time_steps"] = time_steps
        if "order" in given:
            given["order"] = min(given["order"], time_steps)
    return cls(**given)
