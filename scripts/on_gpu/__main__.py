"""Try mmedpo on a machine with a GPU, or carry out a study there: one JSON, one log, and a table last.

See scripts/on_gpu.sh and scripts/study_on_gpu.sh.
"""

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
from steps import Step, steps, study_steps
from table import table

MINUTES = {"on_gpu": 8.0, "study_on_gpu": 12.0}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/on_gpu.sh", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where JSON and log go; by default in runs/")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--size", choices=["full", "tiny"], default="full", help="tiny: seconds each, on any machine")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".wheels", help="packages that this machine lacks")
    parser.add_argument("--minutes", type=float, help="what is not done by then is stopped; 8, or 12 of the study")
    parser.add_argument("--study", action="store_true", help="the study on harder films instead")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/study/hard", help="of the study: base and runs")
    chosen = parser.parse_args()
    chosen.name = "study_on_gpu" if chosen.study else "on_gpu"
    chosen.folder = chosen.folder or Path("runs") / chosen.name
    chosen.minutes = chosen.minutes or MINUTES[chosen.name]
    return chosen


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


def chosen_steps(chosen: argparse.Namespace) -> list[Step]:
    """Return what is done here."""
    if chosen.study:
        return study_steps(chosen.device, chosen.size, chosen.work.resolve())
    return steps(chosen.device, chosen.size)


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
        (chosen.folder / f"{chosen.name}.json").write_text(json.dumps(whole, indent=2))

    with tempfile.TemporaryDirectory() as site:
        install = Step(
            "install", "scripts/on_gpu/install.py", ["--folder", site, "--wheels", str(chosen.wheels.resolve())], 90
        )
        every = [install, *chosen_steps(chosen)]
        longer = chosen.minutes / MINUTES[chosen.name]  # steps have more time, or less, where all of them have
        every = [replace(step, seconds=round(step.seconds * longer)) for step in every]
        run_all(every, 60 * chosen.minutes, environment(Path(site)), log, tell)
    return done


def main() -> None:
    chosen = arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    place = chosen.folder / f"{chosen.name}.log"
    with place.open("w") as log:
        done = carry_out(chosen, log)
    text = table(done)
    with place.open("a") as log:
        log.write(text + "\n")
    print(f"\n{text}\n\n{place.with_suffix('.json')}  every figure\n{place}   what the steps said")
    sys.exit(any(step.status != "done" for step in done))


if __name__ == "__main__":
    main()
