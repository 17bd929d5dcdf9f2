"""Neurons by name, and what is said of a name that does not exist."""

import pytest
import torch

from spikescan import InputError
from spikescan.firing import Integer
from spikescan.neurons import DSN, SlidingPSN, create_neuron, list_neurons


@pytest.mark.parametrize("name", list_neurons())
def test_every_neuron_is_made_by_its_name(name: str) -> None:
    spikes, _ = create_neuron(name, 3, 5)(torch.zeros(5, 2, 3))
    assert spikes.shape == (5, 2, 3)


def test_options_reach_the_neuron() -> None:
    neuron = create_neuron("dsn", 3, options={"kernel_size": 2, "firing": {"kind": "integer", "levels": 2}})
    assert isinstance(neuron, DSN)
    assert (neuron.kernel_size, neuron.firing) == (2, Integer(2))


def test_an_order_is_at_most_the_number_of_steps() -> None:
    assert create_neuron("masked_psn", 3, 5).order == 5
    sliding = create_neuron("sliding_psn", 3)
    assert isinstance(sliding, SlidingPSN)
    assert sliding.order == 32


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: create_neuron("dns", 3), "no neuron 'dns'.*Did you mean 'dsn'"),
        (lambda: create_neuron("mask_psn", 3), "Did you mean 'masked_psn'"),
        (
            lambda: create_neuron("dsn", 3, options={"kernel_sise": 4}),
            "no option 'kernel_sise'.*Did you mean 'kernel_size'",
        ),
        (lambda: create_neuron("dsn", 3, options={"firing": "ternary"}), "no firing 'ternary'.*integer"),
        (lambda: create_neuron("psn", 3), "'psn' is bound to a number of time steps; pass time_steps"),
    ],
)
def test_what_does_not_exist_is_answered_with_the_nearest(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()


@pytest.mark.parametrize(
    "name", ["if", "lif", "alif", "clif", "glif", "klif", "delayed_reset_lif", "pmsn", "psu", "ipsu", "rpsu"]
)
def test_a_reset_without_spikes_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"Membrane\(\)"):
        create_neuron(name, 3, 5, {"firing": "membrane"})
