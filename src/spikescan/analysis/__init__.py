"""What a model does and whether it does it alike in parallel and step by step.

The HTML report is in `spikescan.analysis.report`, its pictures in `spikescan.analysis.pictures`; both need
``pip install 'spikescan[train]'``, the rest does not.
"""

from spikescan.analysis.agreement import Agreement, Count, WayAgreement, measure_agreement, measure_split_agreement
from spikescan.analysis.energy import CONSTANTS, Constants, Energy, LayerEnergy, find_constants, measure_energy
from spikescan.analysis.latency import Latency, measure_latency
from spikescan.analysis.operations import Operations
from spikescan.analysis.recording import (
    FiringRate,
    LayerRecording,
    Recording,
    measure_firing,
    record,
    record_chunks,
    record_steps,
)

__all__ = [
    "CONSTANTS",
    "Agreement",
    "Constants",
    "Count",
    "Energy",
    "FiringRate",
    "Latency",
    "LayerEnergy",
    "LayerRecording",
    "Operations",
    "Recording",
    "WayAgreement",
    "find_constants",
    "measure_agreement",
    "measure_energy",
    "measure_firing",
    "measure_latency",
    "measure_split_agreement",
    "record",
    "record_chunks",
    "record_steps",
]
