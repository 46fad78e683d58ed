"""Run the quickstart on the device and on the CPU at once, at reduced size, and put the measures side by side.

    python scripts/on_gpu/quickstart.py --device cuda --images 40 --out quickstart.json

On the device it runs in float32, which should measure what the CPU measures, and in bfloat16, which a GPU takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rig.output import write

RECIPE = Path(__file__).parents[2] / "examples" / "quickstart.yaml"


def command(folder: Path, device: str, dtype: str, images: int) -> list[str]:
    """Return the command of a run; `folder` is its own, journal and all."""
    words = [f"output={folder / 'run'}", f"device={device}", f"dtype={dtype}", "train.epochs=1"]
    words += [
        f"data.images={images}",
        f"evaluate.data.images={max(2, images // 2)}",
        f"evaluate.attention={min(8, images)}",
    ]
    return [sys.executable, "-m", "mmedpo", "run", str(RECIPE), *words]


def arms(device: str) -> list[tuple[str, str]]:
    """Return the devices and dtypes to run, the CPU first."""
    return list(dict.fromkeys([("cpu", "float32"), (device, "float32"), (device, "bfloat16")]))


def run(folder: Path, device: str, images: int) -> dict[str, dict[str, Any]]:
    """Carry out all runs at once; return what each came to."""
    chosen = {f"{where} {dtype}": (where, dtype) for where, dtype in arms(device)}
    threads = max(1, (os.cpu_count() or 1) // len(chosen))
    env = {"OMP_NUM_THREADS": str(threads), **os.environ}
    began, running = time.perf_counter(), {}
    for name, (where, dtype) in chosen.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        log = (place / "log").open("w")
        running[name] = (place, subprocess.Popen(command(place, where, dtype, images), stdout=log, stderr=log, env=env))
    found: dict[str, dict[str, Any]] = {}
    for name, (place, process) in running.items():
        status = process.wait()
        text = (place / "log").read_text()
        print(f"---- {name}\n{text}", flush=True)
        found[name] = outcome(place / "run") if not status else {"failed": f"exit {status}: {text.strip()[-300:]}"}
        found[name]["seconds"] = time.perf_counter() - began
    return found


def outcome(folder: Path) -> dict[str, Any]:
    """Return a run's measures and what its training came to."""
    from mmedpo import read_run

    done = read_run(folder)
    assert done.measures
    assert done.training
    flat = {
        f"{metric.use} {measure} {when}": value
        for metric in done.measures.measures
        for when, values in (("before", metric.before), ("after", metric.after or {}))
        for measure, value in values.items()
    }
    trained = sum(count.count for count in done.training.counts if count.what == "trained_pairs")
    return {"measures": flat, "loss": done.training.loss.model_dump(), "trained": trained}


def apart(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return by how much each run's shares and scores (from 0 to 1) differ from the CPU's, where they do."""
    first, *others = (name for name in found if "measures" in found[name])
    base = found[first]["measures"]
    return {
        name: {
            measure: value - base[measure]
            for measure, value in found[name]["measures"].items()
            if "_count" not in measure and measure in base and abs(value - base[measure]) > 5e-4
        }
        for name in others
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), chosen.device, chosen.images)
    result: dict[str, Any] = {"images": chosen.images, "runs": found}
    write(chosen.out, result)
    if failed := [name for name, row in found.items() if "failed" in row]:
        raise SystemExit(f"the quickstart failed: {', '.join(failed)}")
    write(chosen.out, result | {"apart_from_cpu": apart(found)})


if __name__ == "__main__":
    main()
