"""Control by reinforcement learning: a spiking actor, trained in parallel over time and acting step by step.

Needs ``pip install 'spikescan[train,control]'``.
"""

from spikescan.control.agreement import ActionAgreement, action_agreement
from spikescan.control.events import ControlStep
from spikescan.control.experiment import AnyExperiment, ControlExperiment, control_experiment_from, is_control
from spikescan.control.loop import train
from spikescan.control.play import Evaluation, evaluate
from spikescan.control.population import PopulationActor
from spikescan.control.run import ControlRun, load_run

__all__ = [
    "ActionAgreement",
    "AnyExperiment",
    "ControlExperiment",
    "ControlRun",
    "ControlStep",
    "Evaluation",
    "PopulationActor",
    "action_agreement",
    "control_experiment_from",
    "evaluate",
    "is_control",
    "load_run",
    "train",
]
