"""Decays, time constants and the ways they are written."""

import math

import pytest
import torch

from spikescan import InputError, ParametricLIF
from spikescan.neurons.conversion import (
    decay_from,
    parametric_weight,
    state_leaky_decay,
    tau_from,
    tau_from_parametric_weight,
)


@pytest.mark.parametrize("dt", [1.0, 0.001, 0.5])
@pytest.mark.parametrize("tau", [1.5, 2.0, 20.0])
def test_there_and_back(tau: float, dt: float) -> None:
    assert decay_from(tau, dt=dt) == 1.0 - dt / tau
    assert decay_from(tau, dt=dt, form="exp") == math.exp(-dt / tau)
    assert tau_from(decay_from(tau, dt=dt), dt=dt) == pytest.approx(tau, rel=1e-10)
    assert tau_from(decay_from(tau, dt=dt, form="exp"), dt=dt, form="exp") == pytest.approx(tau, rel=1e-10)


def test_the_two_forms_are_two() -> None:
    assert (decay_from(2.0), decay_from(2.0, form="exp")) == (0.5, pytest.approx(0.6065, abs=1e-4))
    assert state_leaky_decay(0.5) == decay_from(tau_from(0.5), form="exp")


def test_the_weight_of_a_parametric_lif() -> None:
    assert parametric_weight(3.0) == pytest.approx(ParametricLIF(3.0).weight.item())
    assert 1.0 / torch.sigmoid(torch.tensor(parametric_weight(3.0))) == pytest.approx(3.0)
    assert tau_from_parametric_weight(parametric_weight(3.0)) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decay_from(0.0), "expected both above 0"),
        (lambda: decay_from(2.0, dt=-1.0), "expected both above 0"),
        (lambda: decay_from(2.0, dt=3.0), "use form='exp'"),
        (lambda: decay_from(2.0, form="expo"), "form is 'expo'"),  # type: ignore[arg-type]
        (lambda: tau_from(1.0), r"never forgets: IF\(\)"),
        (lambda: tau_from(0.0, form="exp"), "above 0 for exp"),
        (lambda: tau_from(0.5, dt=0.0), "dt is 0.0"),
        (lambda: tau_from(0.5, form="expo"), "form is 'expo'"),  # type: ignore[arg-type]
        (lambda: parametric_weight(1.0), "more than 1"),
    ],
)
def test_what_has_no_decay(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()
