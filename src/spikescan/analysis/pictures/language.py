"""How well a language model predicts."""

from typing import TYPE_CHECKING

import torch

from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spikescan.analysis.findings import PositionLoss

__all__ = ["position_loss"]


def position_loss(found: "PositionLoss", *, theme: Theme = LIGHT) -> "Figure":
    """The loss by how many symbols came before, each and in stretches of equal width on a logarithmic axis."""
    places = (found.steps > 0).nonzero().flatten()
    loss, steps = found.loss[places].double(), found.steps[places]
    with theme.figure(11.0, 3.0) as figure:
        axes = figure.subplots()
        axes.plot((places + 1).tolist(), loss.tolist(), color=theme.faint, linewidth=0.9, label="each place")
        # Counted from the end, so that the last of them is whole.
        stretch = ((places[-1] + 1).double().log2() * 3 - (places + 1).double().log2() * 3).long()
        kinds = torch.unique(stretch)
        # Each symbol counts alike, also where the last sample is short.
        means = [float((loss * steps)[stretch == kind].sum() / steps[stretch == kind].sum()) for kind in kinds]
        middles = [float((places[stretch == kind] + 1).double().log().mean().exp()) for kind in kinds]
        axes.plot(middles, means, color=theme.first, marker="o", markersize=3.5, label="means of stretches")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("place in the sample: symbols seen so far")
        axes.set_ylabel("nats a symbol")
        axes.grid(axis="y")
        axes.legend(labelcolor=theme.ink, fontsize=8)
        return figure
