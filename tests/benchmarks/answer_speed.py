"""How fast a backbone answers, as dispreferences ask it: several sampled answers to each question about an image.

    python tests/benchmarks/answer_speed.py --json --device cuda --dtype bfloat16 --size 7b

`questions` is one image of SLAKE, 11 questions with 4 samples of 12 tokens; `reports` is 4 images, a question each,
with 4 samples of 100 tokens. Answers come from `answer()` of a LLaVA of drawn weights (`rig/model.py`), which hardly
ever ends an answer early. The prefill, all that is done before a second token, is timed by asking for one token.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    questions: int  # about each image
    samples: int
    tokens: int  # of an answer


ASKED = {"questions": Asking(1, 11, 4, 12), "reports": Asking(4, 1, 4, 100)}
FEW = {"questions": Asking(1, 3, 2, 4), "reports": Asking(2, 1, 2, 6)}  # the same for a tiny model, in seconds


def cases(asking: Asking) -> list[Any]:
    """Make a case for each answer: those of an image follow one another."""
    from mmedpo import Case, ImageRef

    asked = [
        question for question, _, _ in texts(Shape(11, 1, SHAPES["slake"].data, lengths=SHAPES["slake"].lengths))[0]
    ]
    shown = [ImageRef.drawn(picture(image)) for image in range(asking.images)]
    return [
        Case(f"{image}/{number}/{sample}", shown[image], asked[number], "w1", restricted=False)
        for image in range(asking.images)
        for number in range(asking.questions)
        for sample in range(asking.samples)
    ]


def seconds(live: Any, machine: Machine, some: Sequence[Any], tokens: int) -> tuple[float, list[str]]:
    """Return how long the answers take, and the answers."""
    began = machine.clock()
    said = live.answer(some, max_new_tokens=tokens, temperature=1.0, seeds=range(len(some)))
    return machine.clock() - began, said


def measure(live: Any, machine: Machine, asking: Asking) -> dict[str, float]:
    """Time the answers, and the first token of each alone."""
    some = cases(asking)
    seconds(live, machine, some[: live.batch_size], 2)  # warm up
    machine.forget_peak()
    first, _ = seconds(live, machine, some, 1)
    took, said = seconds(live, machine, some, asking.tokens)
    words = sum(len(text.split()) for text in said) / len(said)
    return {
        "answers_per_s": len(some) / took, "seconds": took, "prefill_share": first / took, "answers": len(some),
        "tokens_an_answer": words, "batch": live.batch_size, **machine.memory(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--size", choices=SIZES, default="small", help="tiny: fewer and shorter answers too")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    chosen = parser.parse_args()
    machine = Machine(chosen.device, chosen.dtype)
    live = make_backbone(SIZES[chosen.size], machine)
    asked = FEW if chosen.size == "tiny" else ASKED
    result: dict[str, Any] = {"size": chosen.size, **asdict(machine)}
    for name, asking in asked.items():
        result[name] = measure(live, machine, asking)
        write(chosen.out, result)
    if chosen.json:
        print(json.dumps(rounded(result), indent=2))
        return
    for name in asked:
        print(name, ", ".join(f"{key} {value:.4g}" for key, value in result[name].items()))


if __name__ == "__main__":
    main()
