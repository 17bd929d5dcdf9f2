"""Between the ways in which papers and libraries write a decay.

Three traps, each of which has been met in the wild:

* **Two decays for one time constant.** The exact solution of tau dV/dt = -V over one step is exp(-dt / tau) ("exp"); the Euler
  step is 1 - dt / tau ("euler": SpikingJelly, and `LIF` here). At tau = 2 they are 0.607 and 0.5.
* **Two gains.** H = V + (x - V) / tau has gain 1 (a constant input is the membrane's limit; SpikingJelly's
  ``decay_input=True``, `LIF` here). H = beta V + x has gain tau = 1 / (1 - beta) (snnTorch, ``decay_input=False``, ``LIF(...,
  scale_input=False)``). A threshold tuned for one is wrong for the other.
* **Names that mean something else.** snnTorch's ``StateLeaky(beta)`` decays by exp(-(1 - beta)), not by beta
  (`state_leaky_decay`). ParaLIF with ``learn_tau`` starts at a decay of sigmoid(decay), not at the decay that it is given.
  SpikingJelly's ``ParametricLIFNode`` keeps w = -log(tau - 1), 1 / tau = sigmoid(w), under the name ``w``
  (`parametric_weight`).
"""

import math
from typing import Literal

from spikescan.errors import InputError

__all__ = [
    "DecayForm",
    "decay_from",
    "parametric_weight",
    "state_leaky_decay",
    "tau_from",
    "tau_from_parametric_weight",
]

DecayForm = Literal["euler", "exp"]


def decay_from(tau: float, *, dt: float = 1.0, form: DecayForm = "euler") -> float:
    """The decay of one step: 1 - dt / tau ("euler"), or exp(-dt / tau) ("exp").

    Args:
        tau: the time constant, in the unit of `dt`.
        dt: the length of a step.
        form: which of the two the source means; see the traps above.

    Raises:
        InputError: tau or dt is not above 0; dt is above tau, where an Euler step overshoots; an unknown form.
    """
    if not tau > 0.0 or not dt > 0.0:
        raise InputError(f"decay_from: tau is {tau} and dt {dt}, expected both above 0.")
    if form == "exp":
        return math.exp(-dt / tau)
    _check_euler("decay_from", form)
    if dt > tau:
        raise InputError(f"decay_from: dt = {dt} is above tau = {tau}, so 1 - dt / tau is negative; use form='exp'.")
    return 1.0 - dt / tau


def tau_from(decay: float, *, dt: float = 1.0, form: DecayForm = "euler") -> float:
    """The time constant of a decay, the inverse of `decay_from`: dt / (1 - decay) ("euler"), or -dt / log(decay) ("exp").

    ``LIF(tau_from(beta), scale_input=False)`` decays by beta. A decay of 1 is an infinite time constant: `IF`.

    Raises:
        InputError: the decay is not in [0, 1) ("euler") or (0, 1) ("exp"); dt is not above 0; an unknown form.
    """
    if not dt > 0.0:
        raise InputError(f"tau_from: dt is {dt}, expected a number above 0.")
    if form != "exp":
        _check_euler("tau_from", form)
    if not 0.0 <= decay < 1.0 or (form == "exp" and decay == 0.0):
        raise InputError(
            f"tau_from: decay is {decay}, expected a number of at least 0 and below 1"
            f"{', and above 0 for exp' if form == 'exp' else ''}; a decay of 1 never forgets: IF()."
        )
    return -dt / math.log(decay) if form == "exp" else dt / (1.0 - decay)


def parametric_weight(tau: float) -> float:
    """-log(tau - 1), the w of 1 / tau = sigmoid(w): what `ParametricLIF` and SpikingJelly's ParametricLIFNode learn.

    Raises:
        InputError: tau is not above 1.
    """
    if not tau > 1.0:
        raise InputError(f"parametric_weight: tau is {tau}, expected more than 1 (step).")
    return -math.log(tau - 1.0)


def tau_from_parametric_weight(weight: float) -> float:
    """1 + exp(-w), the inverse of `parametric_weight`."""
    return 1.0 + math.exp(-weight)


def state_leaky_decay(beta: float) -> float:
    """exp(-(1 - beta)): by what snnTorch's ``StateLeaky(beta)`` really decays.

    Its kernel is exp(-t / tau) with tau = 1 / (1 - beta), a time constant of the form "euler" used in the form "exp". At
    beta = 0.5 that is 0.607.
    """
    return math.exp(beta - 1.0)


def _check_euler(function: str, form: str) -> None:
    if form != "euler":
        raise InputError(f"{function}: form is {form!r}, expected 'euler' (1 - dt / tau) or 'exp' (exp(-dt / tau)).")
