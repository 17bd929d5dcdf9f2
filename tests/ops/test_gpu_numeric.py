"""The numbers of the Triton kernels, without a GPU: `gpu_numeric.py` under Triton's interpreter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")


@pytest.mark.timeout(1200)  # a whole file of tests, and an interpreter: more than a minute where nothing else runs
def test_kernels_equal_the_reference_under_the_interpreter() -> None:
    """In a process of its own: Triton reads the variable when it is imported."""
    tests = Path(__file__).with_name("gpu_numeric.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tests)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=tests.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert re.search(r"\b[1-9]\d* passed", run.stdout), run.stdout


def test_triton_is_imported_only_by_the_kernels() -> None:
    code = (
        "import sys, spikescan, spikescan.ops; "
        "assert not [name for name in sys.modules if name.endswith('.gpu') or name == 'spikescan.ops._triton']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
