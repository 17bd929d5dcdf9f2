"""The whole report in a real browser: Debian's chromium, without a network."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from findings_cases import RUNS

from spikescan.analysis.findings import Findings, find
from spikescan.analysis.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = (1280, 400)
FIELDS = {
    "waves": ("label_bands",),
    "forecast": ("forecast_errors", "forecast_windows"),
    "language": ("generated_text", "position_loss"),
    "numbers": ("pairs",),
    "tracking": ("tracks",),
}
PROBE = """
const errors = [];
window.addEventListener("error", event => errors.push(event.message));
window.addEventListener("load", () => {
  const pages = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement;
    const beyond = element => !element.closest(".scroll") && element.getBoundingClientRect().right > root.clientWidth + 1;
    pages[frame.width] = {
      width: root.clientWidth,
      content: root.scrollWidth,
      beyond: [...page.querySelectorAll("body *")].filter(beyond).map(element => element.outerHTML.slice(0, 80)),
      images: page.images.length,
      missing: [...page.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.alt),
      dark: [...page.images].filter(image => image.currentSrc !== image.src).length,
      wordless: [...page.images].filter(image => !image.alt).length,
      fetched: frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name)
        .filter(name => !name.startsWith("data:")),
      headings: [...page.querySelectorAll("h2")].map(heading => heading.textContent),
    };
  }
  document.getElementById("seen").textContent = JSON.stringify({pages, errors});
});
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium (Debian: apt install chromium)")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report with every section there is; no run has all of them."""
    folder = tmp_path_factory.mktemp("browser")
    others = {kind: find(RUNS[kind](folder)) for kind in FIELDS}
    values = {field: getattr(others[kind], field) for kind, fields in FIELDS.items() for field in fields}
    findings: Findings = replace(find(RUNS["events"](folder)), **values)
    return write_report(folder / "report.html", replace(findings, class_names=["one", "two", "a long name"]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_shows_all_it_has(report, scheme, tmp_path):
    text = html.escape(report.read_text(encoding="utf-8"))
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{text}"></iframe>' for width in WIDTHS)
    harness = tmp_path / "harness.html"
    harness.write_text(f'<pre id="seen"></pre><script>{PROBE}</script>{frames}', encoding="utf-8")
    ran = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            f"--blink-settings=preferredColorScheme={1 if scheme == 'light' else 0}",
            "--window-size=1400,1000", "--dump-dom", harness.as_uri(),
        ],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    seen = re.search(r'<pre id="seen">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert seen is not None, ran.stderr[-2000:]
    found = json.loads(html.unescape(seen[1]))
    assert found["errors"] == []
    assert "CONSOLE" not in ran.stderr
    for width in WIDTHS:
        page = found["pages"][str(width)]
        assert page["missing"] == []
        assert page["images"] == 14
        assert page["wordless"] == 0
        assert page["dark"] == (page["images"] if scheme == "dark" else 0)
        assert page["fetched"] == []
        assert page["content"] <= page["width"]
        assert page["beyond"] == []
        assert {"Forecasts", "Written by the model", "Energy", "What is taken for what"} <= set(page["headings"])
