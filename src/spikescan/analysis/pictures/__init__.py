"""The pictures of a report: each function draws one figure from plain values, for a light or a dark page.

They need ``pip install 'spikescan[train]'``.
"""

from spikescan.analysis.pictures.activity import activity, demo, inside
from spikescan.analysis.pictures.classes import class_rasters, confusion_matrix
from spikescan.analysis.pictures.energy import energy
from spikescan.analysis.pictures.firing import firing_rates
from spikescan.analysis.pictures.language import position_loss
from spikescan.analysis.pictures.learning import learning_curve, rate_curves, speed_curve
from spikescan.analysis.pictures.originals import event_frames, event_image, signals, waveform
from spikescan.analysis.pictures.steps import label_bands, tracks
from spikescan.analysis.pictures.values import forecast_errors, forecasts, pairs

__all__ = [
    "activity",
    "class_rasters",
    "confusion_matrix",
    "demo",
    "energy",
    "event_frames",
    "event_image",
    "firing_rates",
    "forecast_errors",
    "forecasts",
    "inside",
    "label_bands",
    "learning_curve",
    "pairs",
    "position_loss",
    "rate_curves",
    "signals",
    "speed_curve",
    "tracks",
    "waveform",
]
