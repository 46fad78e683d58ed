"""The memory of this process, of which the greatest can be forgotten; as Linux counts it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

OWN = Path("/proc/self")


def forget_ram_peak() -> None:
    """Begin to count the greatest memory anew."""
    (OWN / "clear_refs").write_text("5")


def ram() -> dict[str, float]:
    """Return the greatest memory since then in GB, and how much of what is there now is nobody's file."""
    lines = (line.split(":") for line in (OWN / "status").read_text().splitlines())
    sizes = {name: 1024 * int(value.split()[0]) / 1e9 for name, value in lines if value.endswith("kB")}
    return {"peak_gb": sizes["VmHWM"], "own_gb": sizes["RssAnon"]}


def in_own_process(work: Callable[..., dict[str, Any]], *words: Any) -> dict[str, Any]:
    """Do a piece of work in a process of its own, as each command is one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(work, words)
        pool.close()
        pool.join()
        return found
