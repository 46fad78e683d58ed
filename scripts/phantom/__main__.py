"""Make the phantom backbone from nothing, or examine one.

    python scripts/phantom OUT             # 20 to 30 minutes on one core; --seed 1 makes another base
    python scripts/phantom OUT --evaluate  # figures on the test split, as JSON
    python scripts/phantom OUT --validate  # the same on base-validation, where settings were chosen

The same seed gives the same files on one machine with the same versions and one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from architecture import make_model, make_tokenizer
from language_training import LEAN, LOOK, interviews, train_speech
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.exam import examine
from mmedpo_plugins.phantom.film import PhantomFilm, film_of
from mmedpo_plugins.phantom.findings import BALANCED, USUAL, PhantomWorld
from mmedpo_plugins.phantom.model import make_processor
from vision_training import features, gather, train_tower

from mmedpo import Setting

SIGHT_IMAGES, SIGHT_EPOCHS = 14_000, 4
LOOK_IMAGES, LEAN_IMAGES = 8_000, 2_000


def films(world: PhantomWorld, seed: int, count: int) -> Iterator[PhantomFilm]:
    """Draw the images that a base is made from."""
    return (film_of(world, seed, "base", number) for number in range(count))


def make(out: Path, seed: int, size: float = 1.0) -> None:
    """Train a base and write it; `size` scales all amounts of data, for trials."""
    torch.set_num_threads(1)  # several threads add up in another order
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    tower = model.model.vision_tower
    started = time.time()

    def scaled(count: int) -> int:
        return max(int(count * size), 64)

    looked = gather(films(BALANCED, seed, scaled(SIGHT_IMAGES)))
    print(f"drew {len(looked.images)} films: {time.time() - started:.0f} s", flush=True)
    train_tower(tower, looked, seed, SIGHT_EPOCHS)
    look = looked.first(scaled(LOOK_IMAGES))
    train_speech(model, tokenizer, features(tower, look), interviews(look.findings, seed, LOOK), LOOK, seed)
    lean = gather(films(USUAL, seed, scaled(LEAN_IMAGES)))
    train_speech(model, tokenizer, features(tower, lean), interviews(lean.findings, seed, LEAN), LEAN, seed)
    write(model, tokenizer, out)
    print(f"wrote {out}: {time.time() - started:.0f} s", flush=True)


def write(model: Any, tokenizer: Any, out: Path) -> None:
    """Write config, tokenizer, image processor and float16 weights, as stock transformers loads them."""
    model.half().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    make_processor(tokenizer).save_pretrained(out)


def figures(folder: Path, split: str, images: int) -> dict[str, Any]:
    """Examine what `make` wrote."""
    torch.set_num_threads(1)
    weights = folder / "model.safetensors"
    with PhantomBackbone(checkpoint=folder).open(Setting()) as live:
        made = {"weights": sha256(weights.read_bytes()).hexdigest()[:16], "split": split}
        size = {"parameters": live.model.num_parameters(), "bytes": weights.stat().st_size}
        return {**made, **size, **examine(live, split, images)}


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    """Round all figures to six places."""
    plain = {key: round(value, 6) if isinstance(value, float) else value for key, value in found.items()}
    return {key: rounded(value) if isinstance(value, dict) else value for key, value in plain.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of the model")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another base")
    parser.add_argument("--size", type=float, default=1.0, help="scales the amounts of data, for trials")
    parser.add_argument("--images", type=int, default=500, help="how many images to examine on")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--evaluate", action="store_true", help="examine on the test split")
    what.add_argument("--validate", action="store_true", help="examine on base-validation")
    given = parser.parse_args(arguments)
    if given.evaluate or given.validate:
        found = figures(given.out, "test" if given.evaluate else "base-validation", given.images)
        print(json.dumps(rounded(found), indent=1))
    else:
        make(given.out, given.seed, given.size)


if __name__ == "__main__":
    main()
