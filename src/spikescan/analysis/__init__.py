"""What a model does and whether it does it alike in parallel and step by step.

The HTML report is in `spikescan.analysis.report`, its pictures in `spikescan.analysis.pictures`; both need
``pip install 'spikescan[train]'``, the rest does not.
"""

from spikescan.analysis.agreement import Agreement, Count, WayAgreement, measure_agreement, measure_split_agreement
from spikescan.analysis.latency import Latency, measure_latency
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
    "Agreement",
    "Count",
    "FiringRate",
    "Latency",
    "LayerRecording",
    "Recording",
    "WayAgreement",
    "measure_agreement",
    "measure_firing",
    "measure_latency",
    "measure_split_agreement",
    "record",
    "record_chunks",
    "record_steps",
]
