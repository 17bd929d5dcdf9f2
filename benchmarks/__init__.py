"""Measurements: each module is one command that writes what it measured to a file."""

import spikescan  # noqa: F401  # before torch: it settles how idle threads wait, for all contenders alike
