"""How much memory there is, of this machine or of a GPU: in all, and free now."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/")


@dataclass(frozen=True)
class Memory:
    """What there is, in bytes."""

    name: str  # "RAM", or of a GPU "cuda:0"
    whole: int
    free: int


def ram(system: Path = SYSTEM) -> Memory | None:
    """Return this machine's RAM, or what its cgroup grants; None where nobody says."""
    with suppress(OSError, ValueError, KeyError):
        rows = (line.split(":") for line in (system / "proc/meminfo").read_text().strip().split("\n"))
        sizes = {name: 1024 * int(value.split()[0]) for name, value in rows}
        granted = _read_limit(system / "sys/fs/cgroup/memory.max") or sizes["MemTotal"]
        return Memory("RAM", min(granted, sizes["MemTotal"]), min(granted, sizes["MemAvailable"]))
    return None


def gpu(number: int) -> Memory | None:
    """Return a GPU's memory as its driver says, without loading torch; None where there is none of NVIDIA's."""
    if not shutil.which("nvidia-smi") or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return None
    line = ["nvidia-smi", "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    with suppress(OSError, ValueError, IndexError, subprocess.SubprocessError):
        rows = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
        seen = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
        whole, free = (2**20 * int(value) for value in rows[int(seen[number]) if seen else number].split(","))
        return Memory(f"cuda:{number}", whole, free)
    return None


def _read_limit(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def describe_bytes(count: float) -> str:
    """Write a number of bytes in GB."""
    return f"{count / 1e9:.1f} GB"
