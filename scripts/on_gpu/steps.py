"""What is tried on a machine with a GPU, the most wanted first, each with the seconds it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPEED, ANSWERS, ADAPTER, OPENING, MEMORY = (
    f"tests/benchmarks/{name}.py"
    for name in ("training_speed", "answering", "adapter_cost", "opening", "training_memory")
)


@dataclass(frozen=True)
class Step:
    """A program of this tree; it writes its figures to the file that `--out` names, as far as they are."""

    name: str
    program: str
    words: Sequence[str]
    seconds: int


def steps(device: str, size: str) -> list[Step]:
    """Return the steps; each is a process of its own, so that a GPU that one has spoilt is whole for the next."""
    tiny = size == "tiny"
    model = ["--device", device, "--dtype", "bfloat16", "--size", "tiny" if tiny else "7b"]
    few = ["--rank", "4"] if tiny else ["--layers", "8"]  # a quarter of the layers: each way opens them anew
    small = ["--device", device, "--dtype", "float32", "--size", "tiny" if tiny else "small"]

    def speed(name: str, shape: str, contenders: str, seconds: int, words: Sequence[str] = model) -> Step:
        asked = ["--shapes", shape, "--contenders", contenders, "--together", "--no-scaling"]
        return Step(name, SPEED, [*words, *asked], seconds)

    return [
        Step("card", "scripts/on_gpu/card.py", ["--device", device], 60),
        Step("quickstart", "scripts/on_gpu/quickstart.py", ["--device", device, "--images", "3" if tiny else "40"], 90),
        speed("slake", "slake", "tree,plain,trl,pairs", 120),
        speed("slake, flex attention", "slake", "plain,flex", 80),
        speed("gradients in float32", "slake", "plain,tree,flex", 60, small),
        speed("vqa-rad", "vqa-rad", "tree,pairs,trl", 70),
        speed("report", "report", "tree,pairs,trl", 70),
        Step("answers", ANSWERS, [*model, "--shapes", "vqa,evaluate,report", "--repeats", "1"], 100),
        Step("adapter", ADAPTER, model, 100),
        Step("qlora", MEMORY, [*model, *few, "--ways", "checkpointing,4bit,8bit,adamw_8bit"], 100),
        Step("from disk", OPENING, model, 200),  # 31 GB of it in the machine's folder for what is temporary
    ]


def study_steps(device: str, size: str, folder: Path) -> list[Step]:
    """Return the steps of the study on harder films; what is compared is what was finished in time."""
    of = "tiny" if size == "tiny" else "large"
    words = ["--folder", str(folder), "--device", device, "--size", of]

    def part(name: str, seconds: int) -> Step:
        return Step(name, "examples/studies/hard.py", [name, *words], seconds)

    card = Step("card", "scripts/on_gpu/card.py", ["--device", device], 40)
    return [card, part("base", 290), part("runs", 320), part("compare", 60)]
