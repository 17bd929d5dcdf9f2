"""What the operations of the network would cost."""

from pathlib import Path

from spikescan.analysis._batches import batch_size
from spikescan.analysis.energy import Energy, measure_energy
from spikescan.analysis.findings.kept import read_kept
from spikescan.errors import InputError
from spikescan.training.run import Run

__all__ = ["energy", "kept_energy"]

_SAMPLES = 100


def kept_energy(folder: Path) -> Energy | None:
    """What `spikescan energy` left of the test split of a run."""
    kept = read_kept(folder / "energy.json")
    return Energy.from_dict(kept) if kept is not None and kept["split"] == "test" else None


def energy(run: Run) -> Energy | None:
    """What `spikescan energy` left of the test split, or else counted on some of its samples; None where it is not known."""
    kept = kept_energy(run.folder)
    if kept is not None:
        return kept
    test = run.dataset.test
    try:
        return measure_energy(run.model, test, samples=_SAMPLES, batch_size=batch_size(run.model, test))
    except InputError:
        # A part of the model whose operations nobody has written down.
        return None
