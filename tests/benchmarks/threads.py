"""What the quickstart takes where it gets less than the cores that it sees, and when a second thread helps.

    python tests/benchmarks/threads.py --json
    python tests/benchmarks/threads.py --json --images 200 --films 100 --ways now    # the whole quickstart

Each run is the quickstart with fewer images, in a folder of its own, on two cores: *alone*, *beside* a busy process,
and in *half* a core (a cgroup with a quota; where none may be made, it is stopped half the time, which it cannot see).
`now` is what mmedpo does; `before` is torch's own choice, a thread for each core that spins while it waits; it is ended
after `--most` seconds. `cpu_s` is user and system time, the seconds per core that a run got; `work` is that over the
one of `now` alone. `stretch` is the time of the wall, less what a quota takes away, over that of `now` alone: where
others use the machine too, they are in it.

`models` trains a step of models of several sizes with one thread and with all; where others use the machine, look at
its processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from rig.machine import Machine
from rig.model import SIZES, Size, make_model, patches
from rig.output import rounded, write
from rig.quickstart import FIXED_NOISE, RECIPE
from rig.throttle import busy_process, inside, limited_group, stopped_at_times

PLACES = ("alone", "beside", "half")
CORES = 2
CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MMEDPO_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
BEFORE = {"OMP_NUM_THREADS": str(CORES), "GOMP_SPINCOUNT": "300000"}  # what libgomp takes by itself
MODELS = {
    "4M": Size(64, 2, 64, 4, 2, 1, 192, image=112),
    "9M": Size(96, 2, 128, 4, 2, 1, 384, image=112),
    "20M": Size(128, 4, 256, 4, 4, 2, 704, image=168),
    "37M": SIZES["small"],
}


def environment(way: str) -> dict[str, str]:
    """Return the environment without what decides on threads, or with what decided before."""
    clean = {name: value for name, value in os.environ.items() if name not in CHOSEN}
    return clean | {"HF_HUB_OFFLINE": "1"} | (BEFORE if way == "before" else {})


def run_quickstart(folder: Path, place: str, way: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the quickstart once; what it took, and what its run.json says of threads."""
    words = [f"output={folder / 'run'}", f"data.images={chosen.images}", f"evaluate.data.images={chosen.films}"]
    line = [sys.executable, "-m", "mmedpo", "run", str(RECIPE), *FIXED_NOISE, *words, *chosen.override]
    with ExitStack() as stack:
        stack.enter_context(busy_process() if place == "beside" else nullcontext())
        group = stack.enter_context(limited_group(0.5)) if place == "half" else None
        load, began, spent = os.getloadavg()[0], time.perf_counter(), cpu_seconds()
        process = subprocess.Popen(
            inside(group, line) if group else line, env=environment(way), stdout=sys.stderr, start_new_session=True
        )
        stops = place == "half" and group is None
        stack.enter_context(stopped_at_times(process, 0.5) if stops else nullcontext())
        code = wait(process, chosen.most)
        wall, used = time.perf_counter() - began, cpu_seconds() - spent  # the busy process has not ended yet
    found = {"wall_s": wall, "cpu_s": used, "load_before": load, "ended": code is None}
    if place == "half":
        found["half_by"] = "cgroup" if group else "stopping it half the time"
    if code:
        raise SystemExit(f"{place}, {way}: the quickstart ended with code {code}")
    record = folder / "run" / "run.json"
    return found | {"threads": json.loads(record.read_text()).get("threads") if record.exists() else None}


def wait(process: subprocess.Popen[bytes], most: float) -> int | None:
    """Return the exit code; None of a process that was ended because it takes too long."""
    try:
        return process.wait(most)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def cpu_seconds() -> float:
    """Return the processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(rows: dict[str, dict[str, Any]]) -> None:
    """Put beside each run how it stands to the one alone, as things are now."""
    alone = rows.get("alone now")
    for name, row in rows.items() if alone else ():
        granted = 0.5 if name.startswith("half") else 1.0
        row |= {"work": row["cpu_s"] / alone["cpu_s"], "stretch": row["wall_s"] * granted / alone["wall_s"]}


def time_models(names: list[str], seconds: float) -> dict[str, Any]:
    """Time a training step of each model over a sequence of its own, in this process."""
    from mmedpo.core.machine.cores import count_cores
    from mmedpo.runtime.thread_environment import prepare_threads

    prepare_threads()
    import torch

    found: dict[str, Any] = {}
    for name in names:
        model = make_model(MODELS[name], Machine())
        ids = torch.full((1, patches(MODELS[name]) + 100), 5)
        ids[:, : patches(MODELS[name])] = 3
        inputs = {"input_ids": ids, "pixel_values": torch.randn(1, 3, MODELS[name].image, MODELS[name].image)}
        found[name] = {"parameters": sum(one.numel() for one in model.parameters()), "tokens": ids.shape[1]}
        for threads in sorted({1, count_cores()}):
            torch.set_num_threads(threads)
            found[name][f"threads_{threads}"] = time_step(model, inputs, seconds)
    return found


def time_step(model: Any, inputs: dict[str, Any], seconds: float) -> dict[str, float]:
    """Return the least time of the wall that a step took, and the processor time of a step."""
    walls, began = [], 0.0
    for count in range(1000):
        if count == 1:
            began, spent = time.perf_counter(), time.process_time()
        start = time.perf_counter()
        model(**inputs).logits.float().logsumexp(-1).mean().backward()
        walls.append(time.perf_counter() - start)
        if count and time.perf_counter() - began > seconds:
            break
    return {"wall_s": min(walls[1:]), "cpu_s": (time.process_time() - spent) / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--images", type=int, default=30, help="films to train on; the quickstart has 200")
    parser.add_argument("--films", type=int, default=15, help="films to measure on; the quickstart has 100")
    parser.add_argument("--places", default=",".join(PLACES), help="which, by comma")
    parser.add_argument("--ways", default="now,before", help="which, by comma")
    parser.add_argument("--most", type=float, default=600, help="seconds after which a run is ended")
    parser.add_argument("--models", default=",".join(MODELS), help="which, by comma; may be empty")
    parser.add_argument("--seconds", type=float, default=2, help="for which a model's step is repeated")
    parser.add_argument("override", nargs="*", help="further overrides of the recipe")
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    result: dict[str, Any] = {"images": chosen.images, "films": chosen.films, "runs": {}, "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in (f"{place} {way}" for way in chosen.ways.split(",") for place in chosen.places.split(",")):
            place, way = name.split()
            result["runs"][name] = run_quickstart(Path(folder) / name.replace(" ", "-"), place, way, chosen)
            compare(result["runs"])
            write(chosen.out, result)
    result["models"] = time_models([name for name in chosen.models.split(",") if name], chosen.seconds)
    write(chosen.out, result)
    figures = rounded(result)
    print(json.dumps(figures, indent=2) if chosen.json else "\n".join(f"{key}: {figures[key]}" for key in figures))


if __name__ == "__main__":
    main()
