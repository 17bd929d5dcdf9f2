"""Real numbers: forecasts, tracks over time, one row a sample."""

from functools import partial

from spikescan.analysis import page, pictures
from spikescan.analysis.findings import Findings

__all__ = ["forecasts", "pairs", "tracks"]


def forecasts(findings: Findings) -> str | None:
    """Some forecasts against what came, and how far all of them were off."""
    windows, errors = findings.forecast_windows, findings.forecast_errors
    if not windows or errors is None:
        return None
    drawn = page.picture(
        partial(pictures.forecasts, windows),
        f"{len(windows)} windows of the test split: the past, what came, the forecast and the last value repeated.",
        "A row for each window, spread over the test split. In deviations of the training split.",
        wide=True,
    )
    curve = page.picture(
        partial(pictures.forecast_errors, errors),
        f"Mean squared error by steps ahead, of the model {errors.by_step.mean():.3g}, of repeating the last value "
        f"{errors.repeat_last.mean():.3g} on average.",
    )
    rows = [[name.replace("_", " "), f"{error.mse:.4f}", f"{error.mae:.4f}"] for name, error in errors.overall.items()]
    table = page.table(["", "mean squared error", "mean absolute error"], rows, "Over all windows of the test split")
    return page.section("Forecasts", drawn, page.grid([curve, table]))


def tracks(findings: Findings) -> str | None:
    """Numbers at every step against those of the model."""
    if not findings.tracks:
        return None
    drawn = page.picture(
        partial(pictures.tracks, findings.tracks),
        f"Truth and model over time, for {len(findings.tracks)} test samples.",
        wide=True,
    )
    return page.section("Step by step: truth and model", drawn)


def pairs(findings: Findings) -> str | None:
    """Outputs against targets."""
    if findings.pairs is None:
        return None
    samples, numbers = findings.pairs.targets.shape
    shown = "" if numbers <= 4 else f" The first 4 of {numbers} numbers."
    drawn = page.picture(
        partial(pictures.pairs, findings.pairs),
        f"Outputs against targets of {samples:,} test samples.",
        f"A dot for each of {samples:,} test samples; on the line they are equal.{shown}",
        wide=numbers > 2,
    )
    return page.section("Targets and outputs", drawn)
