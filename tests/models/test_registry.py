import types

import pytest

from spikescan.errors import InputError
from spikescan.layers import LastReadout
from spikescan.models import create_model, list_models, register_model, registry


@pytest.fixture
def build(monkeypatch):
    """A registered function that is forgotten after the test."""
    monkeypatch.setattr(registry, "_models", dict(registry._models))

    @register_model
    def nothing_at_all():
        return LastReadout()

    return nothing_at_all


def test_finds_what_was_registered(build):
    assert list_models("nothing*") == ["nothing_at_all"]
    assert isinstance(create_model("nothing_at_all"), LastReadout)


def test_lists_the_models_of_the_package():
    assert "mlp" in list_models()


def test_two_modules_cannot_share_a_name(build):
    other = types.FunctionType(build.__code__, build.__globals__, "nothing_at_all")
    other.__module__ = "elsewhere"
    with pytest.raises(InputError, match=f"of elsewhere is already registered by {__name__}"):
        register_model(other)


def test_a_cell_that_is_run_twice_replaces_its_model(build):
    again = types.FunctionType(build.__code__, build.__globals__, "nothing_at_all")
    assert register_model(again) is again


def test_an_unknown_name_shows_the_nearest():
    with pytest.raises(InputError, match=r"no model 'mpl'\. Did you mean 'mlp'\? Known: .*mlp"):
        create_model("mpl")
