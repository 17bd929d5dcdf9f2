"""Language models: what they write, and how well they predict."""

from functools import partial

from spikescan.analysis import page, pictures
from spikescan.analysis.findings import Findings
from spikescan.analysis.sections.words import words_of

__all__ = ["generated_text", "position_loss"]


def generated_text(findings: Findings) -> str | None:
    """A text that the model wrote."""
    found = findings.generated_text
    if found is None:
        return None
    return page.section(
        "Written by the model",
        page.quotation(words_of(found.text), lead=words_of(found.prompt)),
        page.remark(
            f"Pale: the start of the test text, which the model was given. The rest it drew symbol by symbol, running step by "
            f"step, at a temperature of {found.temperature:g} and with seed {found.seed}."
        ),
    )


def position_loss(findings: Findings) -> str | None:
    """The loss by the place in a sample."""
    found = findings.position_loss
    if found is None or not bool((found.steps > 0).any()):
        return None
    places = (found.steps > 0).nonzero().flatten()
    first, last = (int(places[place]) for place in (0, -1))
    drawn = page.picture(
        partial(pictures.position_loss, found),
        f"Loss by place: {found.loss[first]:.3g} nats at the first symbol, {found.loss[last]:.3g} at symbol {last + 1:,}.",
        f"Mean over the samples of the test split, each of which the model begins at rest; {int(found.steps.sum()):,} "
        "symbols in all. A model that makes use of what came long ago falls to the end.",
        wide=True,
    )
    return page.section("Loss by place in the sample", drawn)
