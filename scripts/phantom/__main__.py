"""Make the phantom backbone from nothing, or examine one.

    python scripts/phantom OUT             # 20 to 30 minutes on one core; --seed 1 makes another base
    python scripts/phantom OUT --evaluate  # figures on the test split, as JSON
    python scripts/phantom OUT --validate  # the same on base-validation, where settings were chosen
    python scripts/phantom OUT --size large --films hard --device cuda --dtype bfloat16 --workers 16

The same seed gives the same files on one machine with the same versions and one thread, on a CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from architecture import make_model, make_tokenizer
from drawing import FilmMap, FilmSource, FilmTensors, open_workers
from language_training import interviews, train_speech
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.exam import examine
from mmedpo_plugins.phantom.film import PhantomVersion
from mmedpo_plugins.phantom.findings import BALANCED, USUAL
from mmedpo_plugins.phantom.model import make_processor
from pace import seconds_needed
from sizes import SIZES, BaseSize
from vision_training import sight, train_tower

from mmedpo import Setting


@dataclass(frozen=True)
class BasePlan:
    """Which base is made, and where."""

    size: BaseSize
    version: PhantomVersion
    seed: int = 0
    share: float = 1.0  # of all amounts of data, for trials
    workers: int = 1  # processes that draw
    device: str = "cpu"
    dtype: str = "float32"  # of what is computed; weights are float32 until they are written
    minutes: float | None = None  # that it may take, about; there is less to learn from where it would take longer

    def count(self, images: int) -> int:
        """Return how many of so many images are drawn."""
        return max(int(images * self.share), 64)

    def precision(self) -> torch.autocast:
        """Return the context that it trains in."""
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.dtype == "bfloat16")


def make(out: Path, plan: BasePlan) -> None:
    """Train a base and write it, with what it came to in `making.json`."""
    torch.set_num_threads(1)  # several threads add up in another order
    started = time.time()
    films = FilmSource(BALANCED, plan.seed, plan.version, plan.size.patch)
    with open_workers(plan.workers) as each:
        plan = keep_time(plan, films, each)
        looked = films.draw(plan.count(plan.size.sight.images), each).to(plan.device)
        lean = replace(films, world=USUAL).draw(plan.count(plan.size.lean.images), each).to(plan.device)
        held_out = replace(films, split="base-validation").draw(plan.count(500), each).to(plan.device)
    print(f"drew {len(looked.images)} films: {time.time() - started:.0f} s", flush=True)
    with plan.precision():
        model, tokenizer, seen = train(plan, looked, lean, held_out)
    write(model, tokenizer, plan.size, out)
    made = {"seconds": round(time.time() - started, 1), "share": plan.share, "films": len(looked.images)}
    (out / "making.json").write_text(json.dumps({**made, "auc_of_tower": seen}))
    print(f"wrote {out}: {time.time() - started:.0f} s", flush=True)


def train(plan: BasePlan, looked: FilmTensors, lean: FilmTensors, held_out: FilmTensors) -> tuple[Any, Any, Any]:
    """Train tower and language model; return model, tokenizer, and the tower's AUC by finding on films held out."""
    torch.manual_seed(plan.seed)
    size, tokenizer = plan.size, make_tokenizer(plan.version)
    model = make_model(tokenizer, size).to(plan.device)
    head = train_tower(model.model.vision_tower, looked, size.sight, plan.seed)
    seen = rounded(sight(model.model.vision_tower, head, held_out))
    print(f"the tower sees, AUC by finding: {json.dumps(seen)}", flush=True)
    for shown, phase in ((looked.first(plan.count(size.look.images)), size.look), (lean, size.lean)):
        texts = interviews(shown.findings, plan.seed, phase, plan.version)
        train_speech(model, tokenizer, shown.images, texts, phase, plan.seed)
    return model, tokenizer, seen


def keep_time(plan: BasePlan, films: FilmSource, each: FilmMap) -> BasePlan:
    """Return the plan with as much data as there is time for."""
    if plan.minutes is None:
        return plan
    with plan.precision():
        tokenizer = make_tokenizer(plan.version)
        needed = seconds_needed(tokenizer, plan.size, films, each, plan.workers, plan.device)
    share = min(plan.share, 60 * plan.minutes / needed)
    print(f"all of it takes {needed:.0f} s here; a share of {share:.3f} is taken", flush=True)
    return replace(plan, share=share)


def write(model: Any, tokenizer: Any, size: BaseSize, out: Path) -> None:
    """Write config, tokenizer, image processor and float16 weights, as stock transformers loads them."""
    model.half().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    make_processor(tokenizer, size.patch).save_pretrained(out)


def figures(folder: Path, split: str, images: int, plan: BasePlan) -> dict[str, Any]:
    """Examine what `make` wrote."""
    torch.set_num_threads(1)
    weights = folder / "model.safetensors"
    made = {"weights": sha256(weights.read_bytes()).hexdigest()[:16], "split": split}
    with PhantomBackbone(checkpoint=folder).open(Setting(device=plan.device, dtype=plan.dtype)) as live:
        size = {"parameters": live.model.num_parameters(), "bytes": weights.stat().st_size}
        return {**made, **size, **examine(live, split, images, films=plan.version)}


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    """Round all figures to six places."""
    plain = {key: round(value, 6) if isinstance(value, float) else value for key, value in found.items()}
    return {key: rounded(value) if isinstance(value, dict) else value for key, value in plain.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of the model")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another base")
    parser.add_argument(
        "--size", choices=SIZES, default="small", help="1.7 or 29 million parameters; tiny knows nothing"
    )
    parser.add_argument("--films", choices=["clear", "hard"], default="clear", help="which version of the films")
    parser.add_argument("--share", type=float, default=1.0, help="scales the amounts of data, for trials")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw films")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="what is computed in")
    parser.add_argument("--minutes", type=float, help="of training, about: with less data where it would take longer")
    parser.add_argument("--images", type=int, default=500, help="how many images to examine on")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--evaluate", action="store_true", help="examine on the test split")
    what.add_argument("--validate", action="store_true", help="examine on base-validation")
    given = parser.parse_args(arguments)
    size = SIZES[given.size]
    plan = BasePlan(size, given.films, given.seed, given.share, given.workers, given.device, given.dtype, given.minutes)
    if given.evaluate or given.validate:
        found = figures(given.out, "test" if given.evaluate else "base-validation", given.images, plan)
        print(json.dumps(rounded(found), indent=1))
    else:
        make(given.out, plan)


if __name__ == "__main__":
    main()
