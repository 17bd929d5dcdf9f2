"""The report of a run: one ``report.html`` that holds everything it shows, and the picture for a README.

Needs ``pip install 'spikescan[train]'``.
"""

from pathlib import Path

from spikescan.analysis import page, pictures
from spikescan.analysis.agreement import Agreement
from spikescan.analysis.findings import Findings, find
from spikescan.analysis.sections import SECTIONS
from spikescan.analysis.theme import DARK, LIGHT
from spikescan.control import ControlRun
from spikescan.errors import InputError
from spikescan.files import write_text, write_whole
from spikescan.training.run import Run

__all__ = ["report_run", "write_demo_picture", "write_report"]


def report_run(run: Run | ControlRun, *, agreement: Agreement | None = None, sample: int = 0) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        run: from `spikescan.training.load_run`, or of a control task.
        agreement: measured before; None takes ``agreement.json`` in the folder, which `spikescan check` writes, or else
            measures the test split, if the model can be stepped.
        sample: which sample of the test split to follow through the model.

    Raises:
        InputError: the test split has no such sample.
    """
    return write_report(run.folder / "report.html", find(run, agreement=agreement, sample=sample))


def write_report(path: Path, findings: Findings) -> Path:
    """Write a page with all its pictures into one file, whole or not at all; returns `path`."""
    sections = [shown for draw in SECTIONS if (shown := draw(findings)) is not None]
    write_text(path, page.page(findings.title, findings.subtitle, sections))
    return path


def write_demo_picture(path: Path, findings: Findings, *, dark: bool = False) -> Path:
    """Write the picture for a README as ``.svg`` or ``.png``; it needs an example and the agreement. Returns `path`."""
    if findings.example is None or findings.agreement is None or path.suffix not in (".svg", ".png"):
        raise InputError(
            f"The picture {path} needs findings with an example and an agreement, and a name that ends in .svg or .png."
        )
    shown = findings.example
    figure = pictures.demo(
        shown.recording, findings.agreement, image=shown.image, target=shown.label, theme=DARK if dark else LIGHT
    )
    kind = path.suffix.removeprefix(".")
    write_whole(path, lambda temporary: figure.savefig(temporary, format=kind, dpi=160, metadata=_UNDATED[kind]))
    return path


_UNDATED = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Nothing that changes from day to day."""
