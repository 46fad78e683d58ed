"""Say what the machine is: the card, its driver, the versions, and how fast it multiplies and copies.

python scripts/on_gpu/card.py --device cuda --out card.json
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rig.machine import Machine
from rig.output import write

PACKAGES = ("mmedpo", "torch", "transformers", "peft", "trl", "accelerate", "tokenizers", "datasets", "monai", "numpy")


def card(machine: Machine) -> dict[str, Any]:
    """Return what is known of the GPU, or of the processor."""
    import torch

    if not machine.cuda:
        return {"card": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(machine.device)
    free, whole = torch.cuda.mem_get_info(machine.device)
    return {
        "card": properties.name, "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count, "memory_gb": whole / 1e9, "free_gb": free / 1e9,
        "driver": driver(), "cuda": torch.version.cuda, "bfloat16": torch.cuda.is_bf16_supported(),
    }  # fmt: skip


def driver() -> str:
    """Ask the driver for its version; what it says instead is told as it is."""
    line = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"not known: {error}"


def copied_per_second(machine: Machine) -> float:
    """Return GB read and written a second in a copy within the device's memory."""
    import torch

    count = 2**28 if machine.cuda else 2**24
    source, target = (torch.ones(count, device=machine.device) for _ in range(2))
    best = 0.0
    for _ in range(5):
        began = machine.clock()
        target.copy_(source)
        best = max(best, 2 * source.nbytes / (machine.clock() - began) / 1e9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    machine = Machine(chosen.device)
    result = {"python": platform.python_version(), "cores": os.cpu_count(), **card(machine)}
    result["versions"] = {name: version(name) for name in PACKAGES}
    write(chosen.out, result)
    result["copy_gb_per_s"] = copied_per_second(machine)
    for dtype in ("bfloat16", "float32"):
        result[f"matmul_{dtype}_tflops"] = Machine(chosen.device, dtype).matmul_peak() / 1e12
    write(chosen.out, result)


if __name__ == "__main__":
    main()
