"""What libraries read of threads while they are imported: how many there are to be, and that one who waits sleeps.

A thread that waits for another spins by default. Where it spins on the core that the other one needs (another process
is busy, a container's quota is used up), a step takes a hundred times as long.
"""

from __future__ import annotations

import os
from typing import Literal

from mmedpo.core.machine.cores import count_cores, read_quota
from mmedpo.runtime.processes import get_local_size

COUNT = "OMP_NUM_THREADS"
OURS = "MMEDPO_THREADS"  # what we set COUNT to: in a process that we start, that is no wish of the user's
WISHES = (COUNT, "MKL_NUM_THREADS")
WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# libgomp, which torch brings on Linux, looks so often before it sleeps, for a few microseconds: as often as it does by
# itself where it has more threads than cores. With none, a larger model loses up to a third on an idle machine.
SPINS = "1000"


def prepare_threads() -> None:
    """Let what is imported from here on take as many threads as there are cores, and let those that wait sleep.

    What the user's environment says of either stays.
    """
    if not any(name in os.environ for name in WAITS):
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": SPINS}
    if not is_wished():
        export_threads(share_cores()[0])


def is_wished() -> bool:
    """Tell whether the user's environment says how many threads there are to be."""
    said = {name: os.environ.get(name, "") for name in WISHES}
    return any(value and (name != COUNT or value != os.environ.get(OURS)) for name, value in said.items())


def export_threads(number: int) -> None:
    """Tell libraries and processes to come how many threads they may have."""
    os.environ |= {COUNT: str(number), OURS: str(number)}


def share_cores() -> tuple[int, Literal["cores", "quota", "processes"]]:
    """Return how many threads there are cores for, and what decides it; processes that train together share them."""
    cores, quota = count_cores(), read_quota()
    granted = cores if quota is None else min(cores, max(1, int(quota + 0.5)))
    processes = get_local_size()
    if processes > 1:
        return max(1, granted // processes), "processes"
    return granted, "quota" if granted < cores else "cores"
