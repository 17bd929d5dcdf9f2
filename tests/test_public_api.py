"""What the package promises at its top: the names, a docstring each, and an import that loads little."""

import inspect
import subprocess
import sys

import pytest

import spikescan

NAMES = [
    "ALIF",
    "ATan",
    "BackendError",
    "Binary",
    "CLIF",
    "CheckpointError",
    "Cost",
    "DSN",
    "DataError",
    "GLIF",
    "DelayedResetLIF",
    "DenseDSN",
    "HYPR",
    "FastSigmoid",
    "IF",
    "ILIF",
    "IPSU",
    "InputError",
    "Integer",
    "KLIF",
    "LIF",
    "LastReadout",
    "LayerNorm",
    "LeakyReadout",
    "Linear",
    "MPEPSN",
    "InterChannelDSN",
    "LowRankDSN",
    "MaskedPSN",
    "MaxReadout",
    "MulFreePSN",
    "MultiGaussian",
    "Neuron",
    "PMSN",
    "PRF",
    "PSN",
    "PSU",
    "ParaLIF",
    "ParametricLIF",
    "PerStep",
    "RPSU",
    "RateReadout",
    "Rectangular",
    "Recurrent",
    "Residual",
    "S5RF",
    "SPSN",
    "Sequential",
    "ShiftPSN",
    "Sigmoid",
    "SlidingPSN",
    "State",
    "StaticDSN",
    "Streams",
    "Temporal",
    "Triangular",
    "__version__",
    "auxiliary_losses",
    "backend",
    "backend_report",
    "create_model",
    "create_neuron",
    "detach",
    "final_step",
    "follow_training",
    "from_thermometer",
    "linear_recurrence",
    "list_models",
    "list_neurons",
    "map_state",
    "ops",
    "retain_freed_memory",
    "sawtooth",
    "set_dilations",
    "stream",
    "to_shift",
    "to_thermometer",
    "unroll",
]
WITHOUT_DOCSTRING = {"State", "__version__"}  # an alias and a string
LOADED_WHEN_NEEDED = ("numba", "triton", "matplotlib", "lightning_fabric", "jsonargparse", "rich")


def test_the_public_names() -> None:
    assert sorted(spikescan.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_DOCSTRING])
def test_a_public_name_has_a_docstring(name: str) -> None:
    public = getattr(spikescan, name)
    # One of its own: a base class's says nothing, nor does the signature that a dataclass gets for one.
    docstring = vars(public).get("__doc__") if inspect.isclass(public) else public.__doc__
    assert docstring, f"{name} has no docstring of its own"
    assert not docstring.startswith(f"{name}("), f"{name} has only the docstring that a dataclass makes"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in NAMES
        if inspect.isclass(getattr(spikescan, name))
        and issubclass(getattr(spikescan, name), spikescan.Neuron)
        and name != "Neuron"
    ],
)
def test_a_neuron_says_its_shapes(name: str) -> None:
    assert "[T, B, C, *]" in getattr(spikescan, name).__doc__


def test_an_import_loads_little() -> None:
    code = f"import sys, spikescan; print(*(name for name in {LOADED_WHEN_NEEDED} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
