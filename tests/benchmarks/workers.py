"""What workers on Ray cost and bring: the quickstart's curation with none, one and two, and a slice of no work.

    python tests/benchmarks/workers.py --json
    python tests/benchmarks/workers.py --json --images 2 --slices 4 --ways local,1     # whether it runs

`curation` is `mmedpo run quickstart.yaml --until weigh`, with noise of one strength, in a folder and processes of its
own. `wall_s` is of the wall and means something on idle cores alone; `cpu_s` is the processor time of all processes, by
what they are: `run`, the run's own; `workers`; `ray`, what Ray runs beside them. `peak_gb` is the memory that is nobody
else's, at the moment at which they had most. `over_local` compares with the run without workers.

`slices` sends 64 cases of the quickstart as often as asked to one worker that does nothing with them: `start` is what
comes before the first is back, `slice_ms` what each takes from then on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.family import Family, run_family
from rig.output import rounded, write
from rig.quickstart import FIXED_NOISE, RECIPE

from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.stage_parts import StageParts

SLICE = 64


@dataclass(frozen=True)
class NoWork(SliceWork[Any]):
    """Do nothing with a slice."""

    def do(self, opened: StageParts, some: Sequence[Any]) -> Any:
        """Return nothing for each."""
        return [None] * len(some)


def curate(way: str, images: int) -> dict[str, Any]:
    """Curate as the quickstart does, with so many workers."""
    engine = "engine=local" if way == "local" else f"engine={{use: ray, workers: {way}}}"
    words = ["output=run", f"data.images={images}", "--until", "weigh", engine]
    with tempfile.TemporaryDirectory(prefix="w-", dir="/tmp") as folder:
        line = [sys.executable, "-m", "mmedpo", "run", str(RECIPE), *FIXED_NOISE, *words]
        load = os.getloadavg()[0]
        return {"load_before": load, **run_family(line, Path(folder), dict(os.environ))}


def compare(rows: dict[str, dict[str, Any]]) -> None:
    """Put beside each run how it stands to the one without workers."""
    local = rows.get("local")
    for row in rows.values() if local else ():
        row["over_local"] = {name: row[name] / local[name] for name in ("wall_s", "cpu_s", "peak_gb")}


def send_slices(count: int) -> dict[str, Any]:
    """Send slices to a worker that does nothing."""
    from mmedpo.pipeline.session import open_run
    from mmedpo.recipe.loading import load_recipe

    family = Family(os.getpid())
    with tempfile.TemporaryDirectory(prefix="w-", dir="/tmp") as folder:
        loaded = load_recipe(RECIPE, [f"output={folder}/run", "engine={use: ray, workers: 1}"])
        with open_run(loaded, lambda event: None, Path(folder) / "run", None) as run, closing(run.workers):  # type: ignore[type-var]
            assert run.workers is not None
            cases = list(run.recipe.data[0].read())[:SLICE]
            work = NoWork(run.recipe.backbone, "nothing")
            began, start = time.perf_counter(), Clocks(family)
            list(run.workers.carry_out(work, lambda index: cases[:1], [0]))
            started, begun = time.perf_counter(), Clocks(family)
            list(run.workers.carry_out(work, lambda index: cases, range(count)))
            ended, end = time.perf_counter(), Clocks(family)
    return {
        "slices": count, "start_wall_s": started - began, "start_cpu_s": begun - start,
        "slice_wall_ms": 1000 * (ended - started) / count,
        "slice_cpu_ms": {name: 1000 * seconds / count for name, seconds in (end - begun).items()},
    }  # fmt: skip


class Clocks:
    """What each kind of process has taken, as it is now."""

    def __init__(self, family: Family) -> None:
        """Look at them."""
        family.look()
        self.seconds = family.cpu_s()

    def __sub__(self, other: Clocks) -> dict[str, float]:
        """Return what they took since then."""
        return {name: seconds - other.seconds.get(name, 0.0) for name, seconds in self.seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--images", type=int, default=200, help="films to curate; the quickstart has 200")
    parser.add_argument("--ways", default="local,1,2", help="local, and numbers of workers, by comma")
    parser.add_argument("--slices", type=int, default=500, help="to be sent to a worker that does nothing")
    chosen = parser.parse_args()
    result: dict[str, Any] = {"images": chosen.images, "curation": {}}
    for way in chosen.ways.split(","):
        result["curation"][way] = curate(way, chosen.images)
        compare(result["curation"])
        write(chosen.out, result)
    result["sending"] = send_slices(chosen.slices)
    write(chosen.out, result)
    figures = rounded(result)
    print(json.dumps(figures, indent=2) if chosen.json else "\n".join(f"{key}: {figures[key]}" for key in figures))


if __name__ == "__main__":
    main()
