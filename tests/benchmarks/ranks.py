"""What a training step takes in one process and in several that share it, by strategy.

    python tests/benchmarks/ranks.py --json
    python tests/benchmarks/ranks.py --json --processes 2 --strategies ddp,fsdp --rounds 5

The same recipe is trained in one process and in `--processes` that gloo connects, in turn, each with one thread; all
have the same steps and end with the same adapter. `cpu_s` is the processor time of a step, of all processes together,
and `work` is that over the one of a single process: what it costs to share. `wall_s` is what a step takes by the clock;
`speedup`, that of a single process over it, means something only where every process has a core to itself. The first
step is left out. Figures are medians over `--rounds`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import Any

from rig.machine import Machine
from rig.model import SIZES, make_backbone
from rig.output import rounded
from rig.pairs import SLAKE, Shape, weighted_pairs

Row = dict[str, float]


def train(folder: Path, strategy: Any, chosen: argparse.Namespace) -> Row:
    """Train as one process, and return what its steps took and held."""
    from mmedpo_plugins.losses.margins import SigmoidLoss

    from mmedpo.events import TrainingLogged
    from mmedpo.recipe.train_options import LoraOptions, TrainOptions
    from mmedpo.registry.contracts.setting import Setting
    from mmedpo.runtime.processes import end_process_group
    from mmedpo.train.fit import train_adapter
    from mmedpo.train.ranks.strategy import prepare_strategy

    size, times = SIZES[chosen.size], list[tuple[float, float]]()

    def see(event: Any) -> None:
        if isinstance(event, TrainingLogged) and "loss" in event.values:
            times.append((time.process_time(), time.perf_counter()))

    prepare_strategy(strategy)
    lora = LoraOptions(r=size.rank, alpha=2 * size.rank)
    options = TrainOptions(
        loss=[SigmoidLoss()],
        lora=lora,
        batch_size=chosen.pairs,
        accumulate=2,
        epochs=chosen.epochs,
        validation=0,
        checkpoint_every=10**6,
    )
    backbone = make_backbone(size, Machine())
    pairs = weighted_pairs(Shape(11, chosen.images, "slake/slake_dpo_weighted.json", lengths=SLAKE))
    with end_process_group():
        train_adapter(pairs, backbone, options, folder, Setting(seed=0), see)
    steps = len(times) - 1
    cpu, wall = (times[-1][at] - times[0][at] for at in (0, 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"cpu_s": cpu / steps, "wall_s": wall / steps, "peak_gb": peak}


def start(folder: Path, rank: int, count: int, port: int, strategy: str, chosen: argparse.Namespace) -> int:
    """Fork a process of several."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(sys.stderr.fileno(), 1)
        if count > 1:
            shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
        (folder / f"{rank}.json").write_text(json.dumps(train(folder, strategy, chosen)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def measure(count: int, strategy: str, chosen: argparse.Namespace) -> Row:
    """Train once in so many processes."""
    with tempfile.TemporaryDirectory() as place, socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        children = [start(Path(place), rank, count, port, strategy, chosen) for rank in range(count)]
        if any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children):
            raise SystemExit(f"{strategy} in {count} processes failed")
        rows = [json.loads((Path(place) / f"{rank}.json").read_text()) for rank in range(count)]
    return {
        "cpu_s": sum(row["cpu_s"] for row in rows),
        "wall_s": max(row["wall_s"] for row in rows),
        "peak_gb": max(row["peak_gb"] for row in rows),
    }


def compare(chosen: argparse.Namespace) -> dict[str, Any]:
    """Train in turn alone and in each strategy, and put the medians beside each other."""
    ways = {"alone": (1, "ddp"), **{name: (chosen.processes, name) for name in chosen.strategies.split(",")}}
    if find_spec("deepspeed") is None:
        ways.pop("deepspeed", None)
    rounds = [{name: measure(*way, chosen) for name, way in ways.items()} for _ in range(chosen.rounds)]
    found = {
        name: {key: statistics.median(row[name][key] for row in rounds) for key in rounds[0][name]} for name in ways
    }
    for name, row in found.items():
        works = [one[name]["cpu_s"] / one["alone"]["cpu_s"] for one in rounds]
        speedups = [one["alone"]["wall_s"] / one[name]["wall_s"] for one in rounds]
        row |= {"work": statistics.median(works), "speedup": statistics.median(speedups)}
    return {"processes": chosen.processes, "load": os.getloadavg()[0], "ways": found}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="of the model")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--strategies", default="ddp,fsdp,deepspeed")
    parser.add_argument("--images", type=int, default=8, help="with eleven pairs each")
    parser.add_argument("--pairs", type=int, default=11, help="that run together; a step has twice as many")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.getLogger("DeepSpeed").addFilter(lambda record: record.levelno >= logging.ERROR)  # it warns on stdout
    import torch

    import mmedpo.train.fit  # noqa: F401  # before the processes are forked

    torch.set_num_threads(1)
    found = rounded(compare(chosen))
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    for name, row in found["ways"].items():
        print(name, *(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
