"""How much memory training takes, by what trains and how: gradient checkpointing, optimizers, a model in few bits.

    python tests/benchmarks/training_memory.py --json --layers 2                       # a LLaVA-Med of two layers
    python tests/benchmarks/training_memory.py --json --device cuda --ways lora,4bit,8bit

Each way opens the model from disk and trains two steps, in a process of its own: what it holds (`weights_gb`), the
most memory meanwhile, beyond what the process had before (`peak_gb`; on a GPU, the GPU's), and the seconds of the
second step. `--layers` are the language model's, of the real width; a pair is a question about an image of 576 tokens.
What opening takes at most is `open_peak_gb`. What needs bitsandbytes is left out where that is not installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rig.checkpoint import make_checkpoint
from rig.machine import Machine
from rig.output import rounded, write
from rig.pairs import Shape, weighted_pairs
from rig.ram import forget_ram_peak, in_own_process, ram

WAYS: dict[str, dict[str, Any]] = {
    "lora": {},
    "checkpointing": {"gradient_checkpointing": True},
    "adamw_8bit": {"gradient_checkpointing": True, "optimizer": "adamw_8bit"},
    "adafactor": {"gradient_checkpointing": True, "optimizer": "adafactor"},
    "4bit": {"gradient_checkpointing": True, "quantize": "4bit"},
    "8bit": {"gradient_checkpointing": True, "quantize": "8bit"},
    "dora": {"gradient_checkpointing": True, "dora": True},
    "full": {"gradient_checkpointing": True, "method": "full"},
}
STEPS = 2


def options_of(way: str, rank: int, pairs: int) -> Any:
    """Return the options of a way."""
    from mmedpo_plugins.losses.margins import SigmoidLoss

    from mmedpo.recipe.train_options import LoraOptions, TrainOptions

    chosen = dict(WAYS[way])
    lora = LoraOptions(r=rank, alpha=2 * rank, dora=chosen.pop("dora", False))
    adapter = {} if chosen.get("method") == "full" else {"lora": lora}
    return TrainOptions(loss=[SigmoidLoss()], epochs=STEPS, batch_size=pairs, validation=0, **adapter, **chosen)


def train(way: str, checkpoint: Path, machine: Machine, rank: int, pairs: int) -> dict[str, float]:
    """Open the model and train it for two steps."""
    import trl  # noqa: F401
    from mmedpo_plugins.backbones.llava_med import LlavaMedBackbone

    from mmedpo import Setting
    from mmedpo.events import TrainingLogged
    from mmedpo.train.fit import train_adapter

    options, ends = options_of(way, rank, pairs), list[float]()
    setting = Setting(machine.device, machine.dtype, quantize=options.quantize)
    before = ram()["own_gb"]
    machine.forget_peak()
    forget_ram_peak()
    began = time.perf_counter()
    with LlavaMedBackbone(checkpoint=str(checkpoint)).open(setting) as live, tempfile.TemporaryDirectory() as folder:
        opened, opening = time.perf_counter() - began, most(machine, before)
        machine.forget_peak()
        forget_ram_peak()  # files that were read to be quantised lie mapped no longer
        weights = sum(weight.nbytes for weight in live.model.parameters()) / 1e9

        def see(event: Any) -> None:
            if isinstance(event, TrainingLogged) and "loss" in event.values:
                ends.append(machine.clock())

        data = weighted_pairs(Shape(pairs, 1, lengths=((4, 1, 3), (5, 2, 2))))
        train_adapter(data, live, options, Path(folder), setting, see)
    peak = most(machine, before)
    seconds = {"open_s": opened, "step_s": ends[1] - ends[0]}
    return {"weights_gb": weights, "open_peak_gb": opening, "peak_gb": peak, "beyond_gb": peak - weights, **seconds}


def most(machine: Machine, before: float) -> float:
    """Return the most memory in GB since it was last forgotten."""
    return machine.memory()["peak_gb"] if machine.cuda else ram()["peak_gb"] - before


def measured(way: str, *words: Any) -> dict[str, Any]:
    """Train in a process of its own, as one can here."""
    if find_spec("bitsandbytes") is None and options_of(way, 1, 1).needs_bitsandbytes:
        return {"left_out": "bitsandbytes is not installed"}
    return in_own_process(train, way, *words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well, as far as it is")
    parser.add_argument("--ways", default=",".join(WAYS), help="which, with commas between")
    parser.add_argument("--checkpoint", type=Path, help="a folder with LLaVA-Med; without it one is drawn")
    parser.add_argument("--size", choices=["tiny", "7b"], default="7b")
    parser.add_argument("--layers", type=int, help="of the drawn language model")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=4, help="of one image, in a step")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    chosen = parser.parse_args()
    machine = Machine(chosen.device, chosen.dtype)
    result: dict[str, Any] = {
        name: getattr(chosen, name) for name in ("size", "layers", "rank", "pairs", "device", "dtype")
    }
    with tempfile.TemporaryDirectory(prefix="training-memory-") as place:
        checkpoint = chosen.checkpoint or Path(place) / "llava-med-drawn"
        if chosen.checkpoint is None:
            make_checkpoint(chosen.size, chosen.layers, checkpoint)
        for way in chosen.ways.split(","):
            result[way] = measured(way, checkpoint, machine, chosen.rank, chosen.pairs)
            print(f"{way}: {rounded(result[way])}", file=sys.stderr, flush=True)
            write(chosen.out, result)
    figures = rounded(result)
    print(json.dumps(figures, indent=2) if chosen.json else "\n".join(f"{key}: {figures[key]}" for key in figures))


if __name__ == "__main__":
    main()
