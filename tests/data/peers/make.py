"""Writes what neurons of SpikingJelly and snnTorch do on a small input, for the tests, which need neither.

    python make.py FOLDER         # with spikingjelly and snntorch installed

Each file holds the input ``x [T, B, C]``, the spikes, the gradient of ``sum(g * spikes)`` with respect to x, the state dict
under ``state.`` and the versions; constructor arguments are in `NEURONS` here and, as JSON, in the file.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import snntorch
import torch
from spikingjelly.activation_based import neuron as spikingjelly

T, B, C = 24, 2, 3

NODES = [
    ("soft", {"v_threshold": 1.0, "v_reset": None}),
    ("hard", {"v_threshold": 0.8, "v_reset": 0.0}),
    ("hard_elsewhere", {"v_threshold": 0.75, "v_reset": -0.25}),
]
NEURONS = (
    [(f"IFNode_{name}", "spikingjelly.IFNode", how) for name, how in NODES]
    + [
        (f"LIFNode_{name}_{int(scaled)}", "spikingjelly.LIFNode", {"tau": 2.5, "decay_input": scaled} | how)
        for name, how in NODES
        for scaled in (True, False)
    ]
    + [
        (f"ParametricLIFNode_{name}_{int(scaled)}", "spikingjelly.ParametricLIFNode", {"decay_input": scaled} | how)
        for name, how in NODES
        for scaled in (True, False)
    ]
    + [("PSN", "spikingjelly.PSN", {"T": T})]
    + [(f"MaskedPSN_{k}_{lambda_}", "spikingjelly.MaskedPSN", {"k": k, "T": T, "lambda_init": lambda_})
       for k, lambda_ in ((4, 1.0), (T + 3, 1.0), (4, 0.25))]
    + [(f"SlidingPSN_{k}_{int(exp)}", "spikingjelly.SlidingPSN", {"k": k, "exp_init": exp})
       for k, exp in ((3, True), (5, False))]
    + [
        (f"Leaky_{mechanism}_{beta}_{int(delay)}", "snntorch.Leaky",
         {"beta": beta, "threshold": 0.9, "reset_mechanism": mechanism, "reset_delay": delay})
        for mechanism in ("subtract", "zero", "none")
        for beta in (0.8, 1.0)
        for delay in (True, False)
    ]
)  # fmt: skip


def build(name: str, arguments: dict) -> torch.nn.Module:
    library, cls = name.split(".")
    if library == "snntorch":
        return getattr(snntorch, cls)(**arguments)
    module = getattr(spikingjelly, cls)(**arguments)
    if hasattr(module, "step_mode") and cls != "PSN":
        module.step_mode = "m"
    with torch.no_grad():  # away from the first values, that every number of the state dict counts
        for parameter_name, parameter in module.named_parameters():
            parameter += (0.3 if parameter_name == "bias" else 0.2) * torch.randn_like(parameter)
    return module


def run(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    if not isinstance(module, snntorch.Leaky):
        return module(x)
    spikes, membrane = [], None
    for x_t in x:
        fired, membrane = module(x_t, membrane)
        spikes.append(fired)
    return torch.stack(spikes)


def main(folder: Path) -> None:
    versions = {library: version(library) for library in ("spikingjelly", "snntorch", "torch")}
    for file, name, arguments in NEURONS:
        torch.manual_seed(0)
        module = build(name, arguments)
        x = (0.6 + 1.2 * torch.randn(T, B, C)).requires_grad_()
        g = torch.randn(T, B, C)
        spikes = run(module, x)
        (grad,) = torch.autograd.grad((g * spikes).sum(), x)
        assert 0 < spikes.sum() < spikes.numel(), file
        state = {f"state.{key}": value.detach().numpy() for key, value in module.state_dict().items()}
        about = json.dumps({"name": name, "arguments": arguments, "versions": versions})
        np.savez_compressed(
            folder / f"{file}.npz",
            x=x.detach().numpy(), g=g.numpy(), spikes=spikes.detach().numpy().astype(np.uint8), grad=grad.numpy(), about=about,
            **state,
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
