"""Take processor time away from a command: a busy process beside it, or a share of a core and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PERIOD = 0.1  # seconds, of a quota
CGROUPS = Path("/sys/fs/cgroup")


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def limited_group(share: float) -> Iterator[Path | None]:
    """Make a cgroup that grants so many cores, and yield its folder; None where none may be made."""
    version_1 = CGROUPS / "cpu"
    group = (version_1 if version_1.exists() else CGROUPS) / f"mmedpo-benchmark-{os.getpid()}"
    try:
        group.mkdir()
        if version_1.exists():
            (group / "cpu.cfs_quota_us").write_text(str(int(share * PERIOD * 1e6)))
        else:
            (group / "cpu.max").write_text(f"{int(share * PERIOD * 1e6)} {int(PERIOD * 1e6)}")
    except OSError:
        if group.exists():
            group.rmdir()
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def inside(group: Path, line: Sequence[str]) -> list[str]:
    """Return a command that enters a cgroup and goes on as another."""
    return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"), *line]


@contextmanager
def stopped_at_times(process: subprocess.Popen[bytes], share: float) -> Iterator[None]:
    """Let the group of a process run for a share of each period alone; nothing in it can see that it is so."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(PERIOD * share):
            os.killpg(process.pid, signal.SIGSTOP)
            done.wait(PERIOD * (1 - share))
            os.killpg(process.pid, signal.SIGCONT)

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
