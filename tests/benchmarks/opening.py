"""What a checkpoint takes that is opened from disk: opening, four answers, a step of training, saving and merging.

    python tests/benchmarks/opening.py --json --dtype bfloat16 --size 7b --folder /tmp/7b      # 31 GB of disk
    python tests/benchmarks/opening.py --json --checkpoint FOLDER --device cuda --dtype bfloat16

Without `--checkpoint`, `scripts/make_llava_med_7b.py` writes one first. Of each stage: its seconds, the most memory of
the process (the files that lie mapped in it among it), what of it is its own alone afterwards, and on a GPU the GPU's.
The pairs are four about two images; the step has gradient checkpointing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rig.checkpoint import make_checkpoint
from rig.machine import Machine
from rig.output import rounded, write
from rig.pairs import Shape, weighted_pairs
from rig.ram import forget_ram_peak, in_own_process, ram

PAIRS = Shape(2, 2, lengths=((4, 1, 3), (5, 2, 2)))
LONGEST = 8  # tokens of an answer


class Stages:
    """Measure one stage after the other, and write what is known as it comes."""

    def __init__(self, machine: Machine, out: Path | None, result: dict[str, Any]) -> None:
        self.machine, self.out, self.result = machine, out, result

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Measure what is done within; what else is to be told of it goes into what is yielded."""
        self.machine.forget_peak()
        forget_ram_peak()
        facts: dict[str, Any] = {}
        began = self.machine.clock()
        yield facts
        seconds = self.machine.clock() - began
        gpu = {f"gpu_{key}": value for key, value in self.machine.memory().items()} if self.machine.cuda else {}
        self.result[name] = {"seconds": seconds, **ram(), **gpu, **facts}
        print(f"{name}: {rounded(self.result[name])}", file=sys.stderr, flush=True)
        write(self.out, self.result)


def train_step(live: Any, machine: Machine, rank: int, folder: Path) -> dict[str, Any]:
    """Train one step on four pairs and save the adapter, as a run does."""
    from mmedpo_plugins.losses.margins import SigmoidLoss

    from mmedpo import Setting
    from mmedpo.recipe.train_options import LoraOptions, TrainOptions
    from mmedpo.train.fit import train_adapter

    pairs = weighted_pairs(PAIRS)
    options = TrainOptions(
        loss=[SigmoidLoss()],
        epochs=1, batch_size=len(pairs), lora=LoraOptions(r=rank, alpha=2 * rank), gradient_checkpointing=True,
        validation=0,
    )  # fmt: skip
    done = train_adapter(pairs, live, options, folder, Setting(machine.device, machine.dtype), lambda event: None)
    size = sum(path.stat().st_size for path in (folder / "adapter").iterdir())
    return {"steps": done.steps, "packing": done.packing, "loss": done.loss.first, "adapter_gb": size / 1e9}


def open_and_train(part: Any, machine: Machine, rank: int, folder: Path, stages: Stages) -> dict[str, Any]:
    """Open the model, ask it, and train it."""
    from mmedpo import Setting

    with stages.stage("imports"):
        import trl  # noqa: F401
        from transformers import LlavaForConditionalGeneration  # noqa: F401
    with ExitStack() as stack:
        with stages.stage("open") as facts:
            live = stack.enter_context(part.open(Setting(machine.device, machine.dtype)))
            facts["weights_gb"] = sum(weight.nbytes for weight in live.model.parameters()) / 1e9
        with stages.stage("answer") as facts:
            cases = [weighted.pair.case for weighted in weighted_pairs(PAIRS)]
            facts["answers"] = len(live.answer(cases, max_new_tokens=LONGEST))
        with stages.stage("train") as facts:
            facts |= train_step(live, machine, rank, folder)
    return stages.result


def merge(part: Any, folder: Path, stages: Stages) -> dict[str, Any]:
    """Merge the adapter and write the whole model."""
    from mmedpo.models.saving import export_backbone

    with stages.stage("merge") as facts:
        export_backbone(part, folder / "merged", folder / "adapter")
        facts["merged_gb"] = sum(path.stat().st_size for path in (folder / "merged").iterdir()) / 1e9
    return stages.result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--checkpoint", type=Path, help="a folder with LLaVA-Med; without it one is drawn")
    parser.add_argument("--size", choices=["tiny", "7b"], default="7b")
    parser.add_argument("--layers", type=int, help="of the drawn language model")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--folder", type=Path, help="where files go, which stay; without it, a folder that goes")
    chosen = parser.parse_args()
    machine = Machine(chosen.device, chosen.dtype)
    result: dict[str, Any] = {"size": chosen.size, "device": chosen.device, "dtype": chosen.dtype, "rank": chosen.rank}
    with tempfile.TemporaryDirectory(prefix="opening-") as place:
        folder = chosen.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        stages = Stages(machine, chosen.out, result)
        checkpoint = chosen.checkpoint or folder / "llava-med-drawn"
        if chosen.checkpoint is None:
            with stages.stage("write") as facts:
                facts["files_gb"] = make_checkpoint(chosen.size, chosen.layers, checkpoint) / 1e9
        from mmedpo_plugins.backbones.llava_med import LlavaMedBackbone

        part = LlavaMedBackbone(checkpoint=str(checkpoint))
        stages.result = in_own_process(open_and_train, part, machine, chosen.rank, folder, stages)
        result = in_own_process(merge, part, folder, stages)
    figures = rounded(result)
    print(json.dumps(figures, indent=2) if chosen.json else "\n".join(f"{key}: {figures[key]}" for key in figures))


if __name__ == "__main__":
    main()
