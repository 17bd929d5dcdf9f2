"""Classes: what is mistaken for what, and what tells them apart."""

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from spikescan.analysis import page, pictures
from spikescan.analysis.findings import Example, Findings
from spikescan.analysis.pictures.originals import event_image
from spikescan.analysis.theme import Theme
from spikescan.data.sources import Sensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["class_rasters", "confusion", "label_bands"]


def confusion(findings: Findings) -> str | None:
    """The confusion matrix."""
    found = findings.confusion
    if found is None:
        return None
    right, total = int(found.counts.diagonal().sum()), int(found.counts.sum())
    drawn = page.picture(
        partial(pictures.confusion_matrix, found),
        f"Confusion matrix of {len(found.names)} classes: {right:,} of {total:,} {found.unit} lie on its diagonal.",
        "A row for each class, shaded by what share of it was taken for what. Right: the share that was recognised.",
    )
    mistakes = [[f"{true} taken for {taken}", f"{times:,}"] for true, taken, times in found.mistakes(8)]
    listed = page.table(["", found.unit], mistakes, "The most frequent mistakes") if mistakes else ""
    return page.section("What is taken for what", page.grid(part for part in (drawn, listed) if part))


def class_rasters(findings: Findings) -> str | None:
    """A raster of the last layer for each class."""
    examples, names = findings.class_examples, findings.class_names
    if not examples or names is None or not examples[0].recording.layers:
        return None
    layer = list(examples[0].recording.layers)[-1]
    order = "" if findings.class_rates is None else ", sorted by the class that they fire most for in the test split"

    def draw(*, theme: Theme) -> "Figure":
        images = [_look(example, theme) for example in examples]
        return pictures.class_rasters(examples, names, rates=findings.class_rates, images=images, theme=theme)

    drawn = page.picture(
        draw,
        f"Spike rasters of {layer} for one sample of each of the classes "
        f"{', '.join(names[example.label] for example in examples if example.label is not None)}.",
        f"The first test sample of each class; rows are the neurons of {layer}{order}.",
        wide=True,
    )
    return page.section("The last layer, class by class", drawn)


def label_bands(findings: Findings) -> str | None:
    """The classes of all steps of some samples, and what the model said."""
    if not findings.label_bands or findings.class_names is None:
        return None
    shares = ", ".join(f"{sample.agreement:.1%}" for sample in findings.label_bands)
    drawn = page.picture(
        partial(pictures.label_bands, findings.label_bands, findings.class_names),
        f"The input of {len(findings.label_bands)} test samples over time, above bands of the true classes and those of "
        f"the model; {shares} of the steps agree.",
        "Where the upper band is empty, no class is asked for.",
        wide=True,
    )
    return page.section("Step by step: truth and model", drawn)


def _look(example: Example, theme: Theme) -> Tensor | None:
    """Something to recognise the sample by, ``[channels, H, W]``."""
    if isinstance(example.source, Sensor):
        return event_image(example.source.frames(example.input), theme)
    return example.image
