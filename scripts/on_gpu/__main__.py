"""Try mmedpo on a machine with a GPU: one JSON, one log, and a table last. See scripts/on_gpu.sh."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from running import ROOT, Done, run_all
from steps import Step, steps
from table import table

MINUTES = 8.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/on_gpu.sh", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/on_gpu"), help="where JSON and log go")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--size", choices=["7b", "tiny"], default="7b")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".wheels", help="packages that this machine lacks")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="what is not done by then is stopped")
    return parser.parse_args()


def environment(site: Path) -> dict[str, str]:
    """Return what every step finds in its environment: its packages, and no hub to ask."""
    places = [str(site), str(ROOT / "tests" / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "COLUMNS": "120",
    }


def carry_out(chosen: argparse.Namespace, log: TextIO) -> list[Done]:
    """Run the steps, and write the JSON anew after each."""
    done: list[Done] = []
    began = time.monotonic()

    def tell(step: Done) -> None:
        done.append(step)
        print(f"{step.name}: {step.status} {step.why}".rstrip(), flush=True)
        failed = [item.name for item in done if item.status != "done"]
        whole = {"device": chosen.device, "size": chosen.size, "seconds": round(time.monotonic() - began, 1)}
        whole |= {"failed": failed, "steps": [item.to_json() for item in done]}
        (chosen.folder / "on_gpu.json").write_text(json.dumps(whole, indent=2))

    with tempfile.TemporaryDirectory() as site:
        install = Step(
            "install", "scripts/on_gpu/install.py", ["--folder", site, "--wheels", str(chosen.wheels.resolve())], 90
        )
        every = [install, *steps(chosen.device, chosen.size)]
        longer = chosen.minutes / MINUTES  # steps have more time, or less, where all of them have
        every = [replace(step, seconds=round(step.seconds * longer)) for step in every]
        run_all(every, 60 * chosen.minutes, environment(Path(site)), log, tell)
    return done


def main() -> None:
    chosen = arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with (chosen.folder / "on_gpu.log").open("w") as log:
        done = carry_out(chosen, log)
    text = table(done)
    with (chosen.folder / "on_gpu.log").open("a") as log:
        log.write(text + "\n")
    print(f"\n{text}\n\n{chosen.folder}/on_gpu.json  every figure\n{chosen.folder}/on_gpu.log   what the steps said")
    sys.exit(any(step.status != "done" for step in done))


if __name__ == "__main__":
    main()
