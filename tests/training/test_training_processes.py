"""Two processes make the updates of one."""

import os
import subprocess
import sys
from pathlib import Path

import ddp_worker
import pytest
import torch


def run_in_two(path: Path) -> None:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT")
    }
    command = [sys.executable, str(Path(__file__).with_name("ddp_worker.py")), "2", str(path)]
    done = subprocess.run(
        command, env={**environment, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_have_the_gradients_of_one(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    ddp_worker.main(1, tmp_path / "one")
    run_in_two(tmp_path / "two")
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(one["gradients"]) == len(two["gradients"]) == 6
    for update, (a, b) in enumerate(zip(one["gradients"], two["gradients"], strict=True)):
        for name in a:
            torch.testing.assert_close(
                b[name], a[name], rtol=0, atol=1e-6, msg=f"gradient of {name} at update {update}"
            )
    for name, weight in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weight, rtol=0, atol=1e-6, msg=name)
    assert sum(float(gradient.abs().sum()) for gradient in one["gradients"][-1].values()) > 0.1
    torch.testing.assert_close(torch.tensor(two["trained"]), torch.tensor(one["trained"]), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.tensor(two["evaluation"]), torch.tensor(one["evaluation"]), rtol=0, atol=1e-6)
