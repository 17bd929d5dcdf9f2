"""The sections of a report: each is a function from findings to HTML, or to None where it does not apply."""

from collections.abc import Callable

from spikescan.analysis.findings import Findings
from spikescan.analysis.sections import classes, energy, example, language, run, values

__all__ = ["SECTIONS"]

SECTIONS: tuple[Callable[[Findings], str | None], ...] = (
    run.headlines,
    run.agreement,
    values.forecasts,
    values.pairs,
    values.tracks,
    language.generated_text,
    language.position_loss,
    classes.confusion,
    classes.label_bands,
    example.activity,
    classes.class_rasters,
    example.insides,
    run.learning,
    run.firing,
    energy.energy,
    run.speed,
    run.facts,
)
"""In the order of the page. What depends on the kind of task is a function in a file of its kind, and a line here."""
