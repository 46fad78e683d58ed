"""Run the steps one after the other: each within its time, none in another's way, and what each said in one log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from steps import Step

ROOT = Path(__file__).parents[2]
LEAST = 5.0  # seconds; with less, a step is not begun


@dataclass(frozen=True)
class Done:
    """What a step came to."""

    name: str
    status: str  # done, failed, out of time, not begun
    seconds: float
    why: str = ""  # it is not done
    found: Mapping[str, Any] = field(default_factory=dict)  # its figures, as far as it came

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def run_all(
    some: Sequence[Step], seconds: float, environment: Mapping[str, str], log: TextIO, tell: Callable[[Done], None]
) -> None:
    """Run the steps in so many seconds altogether; `tell` hears of each when it ends."""
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:
        for number, step in enumerate(some):
            tell(run(step, until - time.monotonic(), environment, log, Path(place) / f"{number}.json"))


def run(step: Step, left: float, environment: Mapping[str, str], log: TextIO, out: Path) -> Done:
    """Run a step in a process of its own."""
    if left < LEAST:
        return Done(step.name, "not begun", 0.0, "the time was up")
    limit = min(step.seconds, left)
    print(f"==== {step.name}", file=log, flush=True)
    start, began = log.tell(), time.monotonic()
    line = [sys.executable, step.program, *step.words, "--out", str(out)]
    status = ended(line, environment, log, limit)
    seconds = round(time.monotonic() - began, 1)
    found = json.loads(out.read_text()) if out.exists() else {}
    if status is None:
        return Done(step.name, "out of time", seconds, f"it was stopped after {limit:.0f} s", found)
    if status:
        return Done(step.name, "failed", seconds, last_line(log, start) or f"exit status {status}", found)
    return Done(step.name, "done", seconds, found=found)


def ended(line: Sequence[str], environment: Mapping[str, str], log: TextIO, limit: float) -> int | None:
    """Run a command and return its exit status; None where it had to be stopped, with all that it had started."""
    env = {**os.environ, **environment}
    process = subprocess.Popen(line, stdout=log, stderr=log, cwd=ROOT, env=env, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def last_line(log: TextIO, start: int) -> str:
    """Return the last line of what a step said: of a traceback, the error."""
    with open(log.name) as said:
        said.seek(start)
        lines = [line.strip() for line in said.read().splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
