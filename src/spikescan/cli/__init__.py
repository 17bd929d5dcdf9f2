"""The command ``spikescan``."""

from spikescan.cli.main import main

__all__ = ["main"]
