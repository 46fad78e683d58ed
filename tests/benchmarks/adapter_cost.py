"""What one optimiser step with a trained projector and gradient checkpointing costs, and an adapter's save and load.

    python tests/benchmarks/adapter_cost.py --json --device cuda --dtype bfloat16 --size 7b

`train()` trains a LLaVA of drawn weights (`rig/model.py`) on the pairs of one image of SLAKE in one step: the
reference, the step, a checkpoint, and the adapter as a run writes it. Then the adapter is put on the model as a run
opens it, saved once more, and the model answers with it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rig.machine import Machine
from rig.model import SIZES, Size, make_backbone
from rig.output import rounded, write
from rig.pairs import SHAPES, weighted_pairs


class Stages:
    """Note when the stages of a training begin, and how much memory they took."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.seconds, self.now, self.began = machine, dict[str, float](), "", 0.0

    def __call__(self, event: Any) -> None:
        """Hear of an event."""
        from mmedpo.events import StageStarted

        if isinstance(event, StageStarted):
            self.end()
            self.now = event.stage

    def end(self) -> None:
        """Close the stage that is on."""
        now = self.machine.clock()
        if self.now:
            self.seconds[self.now] = now - self.began
        self.now, self.began = "", now


def trained(backbone: Any, size: Size, machine: Machine, folder: Path) -> dict[str, Any]:
    """Train for a step."""
    from mmedpo_plugins.losses.margins import SigmoidLoss

    from mmedpo import Setting
    from mmedpo.recipe.train_options import LoraOptions, ProjectorOptions, TrainOptions
    from mmedpo.store.run_files.format import dump_model
    from mmedpo.train.fit import train_adapter

    pairs = weighted_pairs(SHAPES["slake"])
    lora = LoraOptions(r=size.rank, alpha=2 * size.rank)
    options = TrainOptions(
        loss=[SigmoidLoss()],
        epochs=1,
        batch_size=len(pairs),
        lora=lora,
        projector=ProjectorOptions(),
        gradient_checkpointing=True,
        validation=0,
    )
    stages = Stages(machine)
    machine.forget_peak()
    done = train_adapter(pairs, backbone, options, folder, Setting(machine.device, machine.dtype), stages)
    stages.end()
    return {
        "seconds": stages.seconds, "steps": done.steps, "packing": done.packing, "loss": dump_model(done.loss),
        **machine.memory(),
    }  # fmt: skip


def opened(backbone: Any, machine: Machine, adapter: Path) -> dict[str, Any]:
    """Open the adapter, save it again, and answer with it."""
    from mmedpo.models import load_adapter
    from mmedpo.models.adapters import BaseFingerprint
    from mmedpo.train.lora import publish_adapter

    machine.forget_peak()
    began = time.perf_counter()
    backbone.model = load_adapter(backbone.model, adapter)
    machine.clock()
    ready = time.perf_counter()
    publish_adapter(backbone.model, adapter.with_name("again"), BaseFingerprint.of(backbone.model))
    saved = time.perf_counter()
    said = backbone.answer([weighted_pairs(SHAPES["slake"])[0].pair.case], max_new_tokens=2)
    gigabytes = sum(path.stat().st_size for path in adapter.iterdir()) / 1e9
    return {
        "adapter_gb": gigabytes, "open_s": ready - began, "save_s": saved - ready, "opened": machine.memory(),
        "answered": len(said),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    chosen = parser.parse_args()
    machine = Machine(chosen.device, chosen.dtype)
    size = SIZES[chosen.size]
    backbone = make_backbone(size, machine)
    result: dict[str, Any] = {"size": chosen.size, **asdict(machine)}
    with tempfile.TemporaryDirectory() as folder:
        result |= trained(backbone, size, machine, Path(folder))
        write(chosen.out, result)
        result |= opened(backbone, machine, Path(folder) / "adapter")
        write(chosen.out, result)
    figures = rounded(result)
    print(json.dumps(figures, indent=2) if chosen.json else "\n".join(f"{key}: {figures[key]}" for key in figures))


if __name__ == "__main__":
    main()
