"""Worker processes as the measuring side sees them: asked one at a time, all others wait at their pipe."""

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

__all__ = ["RefusedError", "Worker", "clean_environment"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class RefusedError(Exception):
    """A worker could not do what it was asked; the message says why."""


def clean_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """What a worker inherits.

    `import spikescan` settles how idle threads wait; that is for its own worker to do. Freed memory is kept in all of them
    (glibc), as `spikescan.retain_freed_memory` does: fresh pages would cost more than the arithmetic.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "PYTHONPATH")}
    # One arena: glibc's malloc_trim, called before memory is measured, gives back only the first one's.
    memory = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
    return kept | memory | dict(changes)


class Worker:
    """One library's process, started when it is first asked and again after it was lost."""

    def __init__(
        self, name: str, python: Path, *, threads: int, memory: int, log: Path, environment: Mapping[str, str] = {}
    ) -> None:
        self.name = name
        self._command = [str(python), "-P", "-m", f"workers.{name}", str(memory), str(threads)]
        path = os.pathsep.join([str(HERE), *filter(None, [environment.get("PYTHONPATH")])])
        self._environment = clean_environment({**environment, "PYTHONPATH": path})
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def ask(self, seconds: float, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            RefusedError: there is none within `seconds`, the process died, or the answer is an error.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request, default=str) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.stop()
            raise RefusedError(f"the process died; see {self._log}") from None
        if not _readable(process.stdout, seconds):
            self.stop()
            raise RefusedError(f"no result within {seconds:.0f} s")
        line = process.stdout.readline()
        if not line:
            self.stop()
            raise RefusedError(f"the process died; see {self._log}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            with self._log.open("a") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=self._environment,
                )
        return self._process

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in filter(None, (self._process.stdin, self._process.stdout)):
                with contextlib.suppress(
                    BrokenPipeError
                ):  # what was not sent yet is of no use to a process that is gone
                    pipe.close()
        self._process = None

    def first_result(self, seconds: float, load: Mapping[str, Any], call: str) -> float:
        """Seconds from starting the process to the end of its first `call`."""
        self.stop()
        start = time.perf_counter()
        self.ask(seconds, **load)
        self.ask(seconds, do="time", call=call, calls=1)
        return time.perf_counter() - start


def _readable(pipe: IO[str], seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(seconds))
