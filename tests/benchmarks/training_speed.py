"""How fast training is, and against what.

    python tests/benchmarks/training_speed.py --json
    python tests/benchmarks/training_speed.py --json --device cuda --dtype bfloat16 --size 7b --no-scaling

Each contender (`rig/contenders.py`) works on the same model, pairs and threads: on a CPU in a process of its own, on
a GPU one after the other in this one, where the GPU's memory is counted for each. The warm-up is not timed. A figure
is the forward and backward pass over the pairs of a shape; the optimiser's step is left out, it is the same for all.
A contender that fails is noted under its name, the others go on, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rig.contenders import KINDS
from rig.gradients import Gradients, difference, load, save
from rig.machine import Machine
from rig.model import SIZES, Size
from rig.output import rounded, write
from rig.pairs import SHAPES, Shape
from rig.timing import many_images, measure

Measured = tuple[dict[str, Any], Gradients]


class Together:
    """Run contenders one after the other in this process."""

    def __init__(self, size: Size, machine: Machine, threads: int, folder: Path) -> None:
        self.size, self.machine, self.threads, self.folder = size, machine, threads, folder

    def __call__(self, kind: str, name: str, shape: Shape, batches: Sequence[int], repeats: int) -> Measured:
        """Return what a contender measured, and its gradients."""
        settle(self.machine, self.threads)
        try:
            return measure(kind, shape, self.size, self.machine, self.folder / f"{name}-{kind}", batches, repeats)
        finally:
            self.machine.forget_peak()

    def over_images(self, name: str, shape: Shape) -> dict[str, Any]:
        """Go over many images."""
        settle(self.machine, self.threads)
        return many_images(shape, self.size, self.machine, self.folder / name)


class Apart(Together):
    """Run each contender in a process of its own, whose memory is then the contender's."""

    def __call__(self, kind: str, name: str, shape: Shape, batches: Sequence[int], repeats: int) -> Measured:
        """Return what a contender measured, and its gradients."""
        kept = self.folder / f"{name}-{kind}.safetensors"
        task = {"kind": kind, "name": name, "shape": asdict(shape), "batches": list(batches), "repeats": repeats}
        return self._sent(task | {"gradients": str(kept)}), load(kept) if kept.exists() else {}

    def over_images(self, name: str, shape: Shape) -> dict[str, Any]:
        """Go over many images."""
        return self._sent({"kind": "many-images", "name": name, "shape": asdict(shape)})

    def _sent(self, task: dict[str, Any]) -> Any:
        mine = {"size": asdict(self.size), "machine": asdict(self.machine), "threads": self.threads}
        threads = str(self.threads)
        env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
        line = [sys.executable, __file__, "--work", json.dumps(task | mine | {"folder": str(self.folder)})]
        done = subprocess.run(line, env=env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{task['name']} {task['kind']}: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])


def settle(machine: Machine, threads: int) -> None:
    """Give this process its threads, and on a CPU the allocator that training has; every contender, TRL too."""
    import torch

    from mmedpo.runtime.malloc import keep_memory

    torch.set_num_threads(threads)
    if not machine.cuda:
        keep_memory()


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process what another asks for."""
    shape = Shape(**task["shape"] | {"lengths": tuple(map(tuple, task["shape"]["lengths"]))})
    here = Together(Size(**task["size"]), Machine(**task["machine"]), task["threads"], Path(task["folder"]))
    if task["kind"] == "many-images":
        return here.over_images(task["name"], shape)
    found, left = here(task["kind"], task["name"], shape, task["batches"], task["repeats"])
    if left:
        save(left, Path(task["gradients"]))
    return found


def turns(kind: str, shape: Shape, cuda: bool) -> list[tuple[str, tuple[int, ...], int]]:
    """Return under which names a contender runs, at which batch sizes it may, and how often it is timed."""
    sizes = (1, 2, 4) if cuda else (1, 2)
    group = shape.pairs_per_image
    if kind in ("tree", "flex"):
        return [(kind, (group,), 7)]
    if kind == "trl" and shape.noised:
        return []  # it cannot take two images a pair
    equal = [("trl-equal", (group,), 3)] if kind == "trl" and group > 2 else []
    return [(kind, sizes, 3 if kind == "trl" or cuda else 1), *equal]


def measure_shape(
    bench: Together, name: str, shape: Shape, kinds: Sequence[str], tell: Callable[[str, dict[str, Any]], None]
) -> dict[str, Any]:
    """Compare contenders on a shape; `tell` hears of each when it is done."""
    found: dict[str, dict[str, Any]] = {}
    left: dict[str, Gradients] = {}
    for kind in kinds:
        for turn, batches, repeats in turns(kind, shape, bench.machine.cuda):
            try:
                found[turn], left[turn] = bench(kind, f"{name}-{turn}", shape, batches, repeats)
            except Exception as error:
                traceback.print_exc()
                found[turn] = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:300]}"}
            tell(turn, found[turn])
    against = {"plain": ("tree", "flex", "trl"), "tree": ("trl",)}
    apart = {
        f"{one} to {other}": difference(left[one], left[other], bench.machine.device)
        for other, ones in against.items()
        for one in ones
        if left.get(one) and left.get(other)
    }
    return {"contenders": found, "gradients": apart, **summary(shape, found)}


def summary(shape: Shape, found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures that compare contenders, as far as they are there."""
    right = {kind: row for kind, row in found.items() if "failed" not in row}
    speed = {kind: row["pairs_per_s"] for kind, row in right.items() if not row.get("forward_alone")}
    if {"trl", "trl-equal"} & speed.keys():
        speed["trl"] = max(speed.pop("trl", 0), speed.pop("trl-equal", 0))
    result = {f"{kind}_pairs_per_s": value for kind, value in speed.items()}
    for kind in ("tree", "flex"):
        result |= {
            f"{kind}_over_{other}": speed[kind] / speed[other] for other in speed if kind in speed and kind != other
        }
        if kind in speed:
            row = right[kind]
            result[f"{kind}_peak_share"] = row["flops"] / shape.count * speed[kind] / row["matmul_peak"]
            result["tokens_per_pair"] = row["tokens"] / shape.count
    equal = right.get("trl-equal") or (right.get("trl") if shape.pairs_per_image <= 2 else None)
    if equal and "tree" in right:
        result["memory_ratio"] = right["tree"]["peak_gb"] / equal["peak_gb"]
    return result


def measure_scaling(bench: Together) -> dict[str, Any]:
    """Measure how time a pair goes with pairs an image, and with images."""
    drawn = replace(SHAPES["slake"], data="", lengths=((12, 12, 12),))
    shapes = {count: replace(drawn, pairs_per_image=count) for count in (1, 2, 4, 8, 16)}
    rates = {count: bench("tree", f"scaling-{count}", shape, (count,), 3)[0] for count, shape in shapes.items()}
    images = {count: bench.over_images(f"images-{count}", replace(drawn, images=count)) for count in (3, 30)}
    return {
        "s_per_pair_by_pairs_per_image": {str(count): 1 / rate["pairs_per_s"] for count, rate in rates.items()},
        "by_images": {str(count): found for count, found in images.items()},
    }


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print nothing but JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is, after each contender")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="which, by comma")
    parser.add_argument("--contenders", default="tree,plain,trl,pairs", help=f"which, by comma, of {', '.join(KINDS)}")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--together", action=argparse.BooleanOptionalAction, help="all in one process; the default on a GPU"
    )
    parser.add_argument(
        "--cpu-time", action="store_true", help="count time of the process, not of the wall; one thread"
    )
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser


def compare(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure what was asked for."""
    machine = Machine(chosen.device, chosen.dtype)
    together = machine.cuda if chosen.together is None else chosen.together
    bench = (Together if together else Apart)(SIZES[chosen.size], machine, chosen.threads, folder)
    result: dict[str, Any] = {"size": chosen.size, **asdict(machine), "shapes": {}}

    def tell(name: str, turn: str, found: dict[str, Any]) -> None:
        if not chosen.json:
            print(name, turn, json.dumps(rounded(found)), file=sys.stderr, flush=True)
        result["shapes"].setdefault(name, {"contenders": {}})["contenders"][turn] = found
        write(chosen.out, result)

    kinds = chosen.contenders.split(",")
    for name in chosen.shapes.split(","):
        whole = measure_shape(bench, name, SHAPES[name], kinds, lambda turn, row, name=name: tell(name, turn, row))  # type: ignore[misc]
        result["shapes"][name] = whole
        write(chosen.out, result)
    if not chosen.no_scaling:
        result["scaling"] = measure_scaling(bench)
        write(chosen.out, result)
    return result


def main() -> None:
    parser = arguments()
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(work(json.loads(chosen.work))))
        return
    if chosen.cpu_time and (chosen.threads > 1 or chosen.device != "cpu"):
        parser.error("--cpu-time is for one thread of a CPU")
    if unknown := set(chosen.contenders.split(",")) - set(KINDS) or set(chosen.shapes.split(",")) - set(SHAPES):
        parser.error(f"no such contender or shape: {', '.join(sorted(unknown))}")
    os.environ["BENCHMARK_CLOCK"] = "process" if chosen.cpu_time else "wall"
    with tempfile.TemporaryDirectory() as folder:
        result = compare(chosen, Path(folder))
    print(json.dumps(rounded(result), indent=2))
    failed = [
        f"{name} {turn}: {row['failed']}"
        for name, shape in result["shapes"].items()
        for turn, row in shape["contenders"].items()
        if "failed" in row
    ]
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
