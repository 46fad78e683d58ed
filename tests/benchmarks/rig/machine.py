"""The device that a benchmark runs on: its clock, its memory, how fast it multiplies."""

from __future__ import annotations

import gc
import os
import resource
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Machine:
    """A device and the dtype in which it computes."""

    device: str = "cpu"
    dtype: str = "float32"

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU of CUDA's."""
        return self.device.startswith("cuda")

    @property
    def torch_dtype(self) -> Any:
        """The dtype as torch has it."""
        import torch

        return getattr(torch, self.dtype)

    def clock(self) -> float:
        """Return seconds: of the wall, or, on a machine that others use too, of this process (with one thread).

        A GPU works on by itself: the clock waits for it.
        """
        if self.cuda:
            import torch

            torch.cuda.synchronize()
        return time.process_time() if os.environ.get("BENCHMARK_CLOCK") == "process" else time.perf_counter()

    def forget_peak(self) -> None:
        """Let go of what nobody uses, and begin to count the greatest memory anew, where that can be done: on a GPU."""
        gc.collect()
        if self.cuda:
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def memory(self) -> dict[str, float]:
        """Return the greatest memory so far in GB: of the GPU in tensors and altogether, or of this process."""
        if not self.cuda:
            return {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
        import torch

        peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return dict(zip(("peak_gb", "reserved_gb"), (peak / 1e9 for peak in peaks), strict=True))

    def matmul_peak(self, seconds: float = 0.25) -> float:
        """Return the best matrix-multiply rate seen in so long, in FLOP/s, of random numbers of the dtype."""
        import torch

        best = 0.0
        for side in (4096, 8192) if self.cuda else (512, 1024):
            one, other = (torch.randn(side, side, device=self.device, dtype=self.torch_dtype) for _ in range(2))
            one @ other
            until = self.clock() + seconds
            while (began := self.clock()) < until:
                one @ other
                best = max(best, 2 * side**3 / (self.clock() - began))
        return best
