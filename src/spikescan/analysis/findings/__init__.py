"""What a report shows, as values; and how they are found for a run.

What depends on the kind of task is a small function in a file of its kind, and a line in `findings.py`.
Needs ``pip install 'spikescan[train]'``.
"""

from spikescan.analysis.findings.classes import ClassRates, Confusion
from spikescan.analysis.findings.example import Example
from spikescan.analysis.findings.findings import Findings, find
from spikescan.analysis.findings.language import GeneratedText, PositionLoss
from spikescan.analysis.findings.steps import Bands, Track
from spikescan.analysis.findings.survey import Score
from spikescan.analysis.findings.values import ForecastErrors, Pairs, Window

__all__ = [
    "Bands",
    "ClassRates",
    "Confusion",
    "Example",
    "Findings",
    "ForecastErrors",
    "GeneratedText",
    "Pairs",
    "PositionLoss",
    "Score",
    "Track",
    "Window",
    "find",
]
