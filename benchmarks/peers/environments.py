"""An environment for each peer: their requirements exclude each other's, and spikescan's."""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["ENVIRONMENTS", "default_folder", "pinned", "python_of"]

ROOT = Path(__file__).resolve().parents[2]

# Each list is one call of pip. Both torch libraries ask for far more than their neurons need (torchvision, h5py, ...), or
# for an older torch; they are installed without what they ask for, beside the torch that spikescan runs on.
ENVIRONMENTS: dict[str, list[list[str]]] = {
    "spikingjelly": [["torch", "numpy"], ["--no-deps", "spikingjelly==2.0.0", "loguru==0.7.3"]],
    "snntorch": [["torch", "numpy"], ["--no-deps", "snntorch==1.0.0"]],
    "jax": [["jax==0.10.2", "jaxlib==0.10.2", "numpy"]],
}
"""By worker. A worker that is not here runs in the environment of this command."""


def pinned() -> list[str]:
    """Name and version of what the environments are made for."""
    every = (package for calls in ENVIRONMENTS.values() for packages in calls for package in packages)
    return [package.replace("==", " ") for package in every if "==" in package]


def default_folder() -> Path:
    """Where environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spikescan" / "peers"


def python_of(worker: str, folder: Path) -> Path:
    """The Python of a worker, its environment made if it is not there yet.

    Raises:
        subprocess.CalledProcessError: pip could not install it.
    """
    if worker not in ENVIRONMENTS:
        return Path(sys.executable)
    constraints = ROOT / "constraints.txt"
    asked = f"{sys.version_info[:2]} {ENVIRONMENTS[worker]} {constraints.read_text()}"
    place = folder / f"{worker}-{hashlib.sha256(asked.encode()).hexdigest()[:10]}"
    python = place / "bin" / "python"
    complete = place / "complete"  # written last, so that an interrupted installation is made again
    if not complete.exists():
        print(f"making {place}", flush=True)
        venv.create(place, clear=True, with_pip=True)
        for packages in ENVIRONMENTS[worker]:
            pip = [python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *packages]
            subprocess.run(pip, check=True)
        complete.touch()
    return python
