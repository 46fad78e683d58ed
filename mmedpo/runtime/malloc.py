"""Keep freed memory in the process: a training step asks for what the step before gave back."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_memory() -> bool:
    """Tell glibc's allocator not to return large blocks to the system; False where there is another one.

    By default each tensor above 32 MiB, and at first each above 128 KiB, is fetched from the system anew and cleared
    page by page, which is a third of the time of a step on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 2**30) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
