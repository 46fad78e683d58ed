"""What a command and all processes that it starts take: processor seconds, and memory at their greatest."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

EVERY = 0.25  # seconds; what a process takes after it was last looked at is not seen


class Family:
    """Look at a process and its descendants until it ends, or until it is told to stop."""

    def __init__(self, pid: int) -> None:
        """Begin to look."""
        self._root, self._done = psutil.Process(pid), threading.Event()
        self._seconds: dict[psutil.Process, float] = {}
        self._names: dict[psutil.Process, str] = {}
        self._peak: dict[str, float] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Note what each has taken so far, and how much memory all have now that is nobody else's."""
        memory: dict[str, float] = defaultdict(float)
        with suppress(psutil.Error):
            for one in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.Error):
                    self._seconds[one] = sum(one.cpu_times()[:2])
                    if self._names.get(one) != "workers":  # one that ends has no name any more
                        self._names[one] = name_of(one, self._root)
                    memory[self._names[one]] += getattr(one.memory_full_info(), "uss", 0) / 1e9
        if sum(memory.values()) > sum(self._peak.values()):
            self._peak = dict(memory)

    def cpu_s(self) -> dict[str, float]:
        """Return the processor seconds so far, by what a process is."""
        sums: dict[str, float] = defaultdict(float)
        for one, seconds in self._seconds.items():
            sums[self._names[one]] += seconds
        return dict(sums)

    def stop(self) -> dict[str, Any]:
        """Return what all took together, and by what they are; memory is of the moment when they had most."""
        self._done.set()
        self._thread.join()
        seconds = self.cpu_s()
        return {
            "cpu_s": sum(seconds.values()), "cpu_s_of": seconds,
            "peak_gb": sum(self._peak.values()), "peak_gb_of": self._peak,
        }  # fmt: skip


def name_of(process: psutil.Process, root: psutil.Process) -> str:
    """Say what a process is; what is neither the command nor a worker is Ray's."""
    if process == root:
        return "run"
    return "workers" if "WorkerActor" in "".join(process.cmdline()[:1]) else "ray"


def run_family(line: Sequence[str], folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """Run a command to its end; what it took. Raises SystemExit where it fails."""
    began = time.perf_counter()
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(line, cwd=folder, env=env, stdout=printed, stderr=printed)
        family = Family(process.pid)
        code = process.wait()
    wall = time.perf_counter() - began
    if code:
        raise SystemExit(f"{' '.join(line)} ended with code {code}:\n{(folder / 'printed').read_text()[-3000:]}")
    return {"wall_s": wall, **family.stop()}
