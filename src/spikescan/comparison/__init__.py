"""Neurons compared fairly: every combination of neuron, firing, control and seed trained at equal budget, and one table of it.

Needs ``pip install 'spikescan[train]'``.
"""

from spikescan.comparison.contenders import CONTENDERS, Contender
from spikescan.comparison.experiments import AnyExperiment, settled
from spikescan.comparison.outcome import Measured, Outcome, read_outcomes
from spikescan.comparison.plan import CONTROLS, FIRINGS, Choice, Trial, plan
from spikescan.comparison.running import Folders, run_trials, still_to_do

__all__ = [
    "CONTENDERS",
    "CONTROLS",
    "FIRINGS",
    "AnyExperiment",
    "Choice",
    "Contender",
    "Folders",
    "Measured",
    "Outcome",
    "Trial",
    "plan",
    "read_outcomes",
    "run_trials",
    "settled",
    "still_to_do",
]
