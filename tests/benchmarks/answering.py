"""How fast a backbone answers on token trees, against transformers' `generate` at its best batch size.

    python tests/benchmarks/answering.py --json
    python tests/benchmarks/answering.py --json --device cuda --dtype bfloat16 --size 7b

vqa         one image of SLAKE, 11 questions with 4 samples of 12 tokens each, as `disprefer` asks
evaluate    the same questions, one greedy answer each
report      4 images, a question each, 4 samples of 100 tokens
disprefer   all that the quickstart samples: the phantom's training films, 4 samples a question, in slices of 64 cases
quickstart  all that it answers of its test films, greedily

The first three are answered by a LLaVA of drawn weights (`rig/model.py`), which hardly ever ends an answer early; the
others by the phantom, whose answers end. On a CPU each contender works in a process of its own, so that its peak of
memory is its own; on a GPU all work in this one. A warm-up is not timed. Answers must be the same, or the exit status
is 1; in bfloat16, where a rounding may turn a token, those that differ are counted instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rig.machine import Machine
from rig.model import SIZES, make_backbone
from rig.output import rounded, write
from rig.pairs import SHAPES, Shape, picture, texts


@dataclass(frozen=True)
class Asking:
    """What is asked."""

    images: int
    questions: int  # about each image; of the phantom, as many as there are
    samples: int  # of each question; 0: one greedy answer
    tokens: int  # of an answer
    phantom: str = ""  # the split, where the phantom is asked about its own films


ASKED = {
    "vqa": Asking(1, 11, 4, 12),
    "evaluate": Asking(1, 11, 0, 12),
    "report": Asking(4, 1, 4, 100),
    "disprefer": Asking(200, 0, 4, 64, "train"),
    "quickstart": Asking(100, 0, 0, 48, "test"),
}
FEW = {  # the same in seconds
    "vqa": Asking(1, 3, 2, 4),
    "evaluate": Asking(1, 3, 0, 4),
    "report": Asking(2, 1, 2, 6),
    "disprefer": Asking(2, 0, 2, 4, "train"),
    "quickstart": Asking(2, 0, 0, 4, "test"),
}
BATCHES = (4, 8, 16, 32)  # of `generate`
SLICE = 64  # cases that a stage asks about at once


def make_cases(asking: Asking) -> list[Any]:
    """Make the cases, those of an image one after another."""
    from mmedpo import Case, ImageRef

    if asking.phantom:
        from mmedpo_plugins.phantom.reader import PhantomReader

        return list(PhantomReader(split=asking.phantom, images=asking.images).read())
    asked = [
        question for question, _, _ in texts(Shape(11, 1, SHAPES["slake"].data, lengths=SHAPES["slake"].lengths))[0]
    ]
    shown = [ImageRef.drawn(picture(image)) for image in range(asking.images)]
    return [
        Case(f"{image}/{number}", shown[image], asked[number], "w1", restricted=False)
        for image in range(asking.images)
        for number in range(asking.questions)
    ]


def ask(live: Any, cases: Sequence[Any], asking: Asking, tokens: int) -> list[str]:
    """Ask slice by slice, as a stage does."""
    from mmedpo import seed_for

    said: list[str] = []
    for start in range(0, len(cases), SLICE):
        some = cases[start : start + SLICE]
        if not asking.samples:
            said += live.answer(some, max_new_tokens=tokens)
            continue
        seeds = [seed_for(0, case.id, number) for case in some for number in range(asking.samples)]
        repeated = [case for case in some for _ in range(asking.samples)]
        said += live.answer(repeated, max_new_tokens=tokens, temperature=1.0, seeds=seeds)
    return said


def measure(asking: Asking, size: str, machine: Machine, batch: int, repeats: int) -> dict[str, Any]:
    """Time one contender: token trees, or `generate` by batches of so many."""
    import torch

    torch.set_num_threads(1) if not machine.cuda else None
    cases = make_cases(asking)
    with open_model(asking, size, machine) as live:
        # Of `generate`: trees are not for it, and nobody is told.
        live.causal, live.batch_size, live._noted = not batch, batch or 8, True
        ask(live, cases[:2], asking, 2)  # warm up
        machine.forget_peak()
        took = []
        for _ in range(repeats):
            began = machine.clock()
            said = ask(live, cases, asking, asking.tokens)
            took.append(machine.clock() - began)
        began = machine.clock()
        ask(live, cases, asking, 1)
        first = machine.clock() - began
    return {
        "answers_per_s": len(said) / min(took),
        "first_token_share": first / min(took),
        **machine.memory(),
        "said": said,
    }


def open_model(asking: Asking, size: str, machine: Machine) -> Any:
    """Open what is asked."""
    if not asking.phantom:
        return nullcontext(_drawn_model(size, machine))
    from mmedpo_plugins.phantom.backbone import PhantomBackbone

    from mmedpo import Setting

    return PhantomBackbone().open(Setting(device=machine.device, dtype=machine.dtype))


@lru_cache(1)
def _drawn_model(size: str, machine: Machine) -> Any:
    """Draw the weights once a process: 7B of them take a while."""
    return make_backbone(SIZES[size], machine)


def measure_apart(task: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """Measure in a process of its own on a CPU, else in this one."""
    if machine.cuda or task.pop("together"):
        return work(task)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    line = [sys.executable, __file__, "--work", json.dumps(task)]
    done = subprocess.run(line, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{task}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Measure what a task says."""
    machine = Machine(**task["machine"])
    return measure(Asking(**task["asking"]), task["size"], machine, task["batch"], task["repeats"])


def compare(asking: Asking, chosen: argparse.Namespace, machine: Machine) -> dict[str, Any]:
    """Return the figures of trees and of `generate` at each batch size, and what the best of those lacks."""
    task = {"asking": asdict(asking), "size": chosen.size, "machine": asdict(machine), "repeats": chosen.repeats}
    batches = (8,) if chosen.size == "tiny" else BATCHES
    found = {
        batch: measure_apart({**task, "batch": batch, "together": chosen.together}, machine) for batch in (0, *batches)
    }
    tree, said = found[0], {batch: row.pop("said") for batch, row in found.items()}
    best = max(batches, key=lambda batch: found[batch]["answers_per_s"])
    other = found[best]
    return {
        "answers": len(said[0]),
        "tree_answers_per_s": tree["answers_per_s"],
        "generate_answers_per_s": other["answers_per_s"],
        "generate_batch": best,
        "tree_over_generate": tree["answers_per_s"] / other["answers_per_s"],
        "first_token_share": tree["first_token_share"],
        "differ": sum(one != two for one, two in zip(said[0], said[best], strict=True)),
        "tree_peak_gb": tree["peak_gb"],
        "generate_peak_gb": other["peak_gb"],
        "generate_8_peak_gb": found[8]["peak_gb"],
        "generate_answers_per_s_by_batch": {str(batch): found[batch]["answers_per_s"] for batch in batches},
    }


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--shapes", default=",".join(ASKED), help="which, by comma")
    parser.add_argument("--size", choices=SIZES, default="small", help="tiny: fewer and shorter answers too")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest counts")
    parser.add_argument("--together", action="store_true", help="all in this process")
    parser.add_argument("--cpu-time", action="store_true", help="count time of the process, not of the wall")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    chosen = arguments().parse_args()
    if chosen.work:
        print(json.dumps(work(json.loads(chosen.work))))
        return
    if chosen.cpu_time:
        os.environ["BENCHMARK_CLOCK"] = "process"
    machine = Machine(chosen.device, chosen.dtype)
    result: dict[str, Any] = {"size": chosen.size, **asdict(machine)}
    for name in chosen.shapes.split(","):
        result[name] = compare((FEW if chosen.size == "tiny" else ASKED)[name], chosen, machine)
        write(chosen.out, result)
        if not chosen.json:
            print(name, json.dumps(rounded(result[name])), flush=True)
    if chosen.json:
        print(json.dumps(rounded(result), indent=2))
    if machine.dtype == "float32" and any(row["differ"] for row in result.values() if isinstance(row, dict)):
        raise SystemExit("some answers differ from those of generate")


if __name__ == "__main__":
    main()
