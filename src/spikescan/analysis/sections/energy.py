"""What the operations of the network would cost."""

from functools import partial

from spikescan.analysis import page, pictures
from spikescan.analysis.findings import Findings
from spikescan.analysis.sections.words import joules, short

__all__ = ["energy"]


def energy(findings: Findings) -> str | None:
    """Energy a layer, beside the same network without spikes."""
    found = findings.energy
    if found is None or not found.layers:
        return None
    drawn = page.picture(
        partial(pictures.energy, found),
        "Energy a sample of each layer, with and without spikes: "
        + "; ".join(f"{layer.name} {joules(layer.joules)}, {joules(layer.dense_joules)}" for layer in found.layers)
        + ".",
        f"Estimated from the operations counted on {found.samples:,} test samples of {found.steps:,.4g} steps, in all "
        f"{joules(found.joules)}, without spikes {joules(found.dense_joules)}. Not in it: {joules(found.state_joules)} to read "
        "and write the state in a small memory, and all other memory.",
        wide=True,
    )
    rows = [
        [
            layer.name,
            layer.kind,
            "" if layer.firing_rate is None else f"{layer.firing_rate:.3g}",
            short(layer.operations.accumulates),
            short(layer.operations.multiply_accumulates),
            joules(layer.joules),
            joules(layer.dense_joules),
        ]
        for layer in found.layers
    ]
    columns = ["layer", "kind", "spikes a step", "accumulates", "multiply-accumulates", "energy", "without spikes"]
    table = page.table(columns, rows, f"A sample; {found.constants.name}: {found.constants.source}")
    return page.section("Energy", drawn, page.fold("Operations, layer by layer", table, is_open=False))
