"""The study on harder films, sized for one GPU: a base whose tower learns too, SFT, preferences and their controls.

    python examples/studies/hard.py base --device cuda        # makes the base, at most --minutes of training
    python examples/studies/hard.py runs --device cuda        # hard.yaml with three seeds at once
    python examples/studies/hard.py compare                   # table and contrasts of what is finished

scripts/study_on_gpu.sh does one after the other on a machine without a network. All three work in --folder, where what
was stopped goes on, and write what they found to --out; --size tiny shows that they work, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results import describe_study, keep_values, write_results

from mmedpo.evaluate.comparison import compare_runs
from mmedpo.evaluate.contrasts import compare_contrasts
from mmedpo.recipe.loading import read_recipe
from mmedpo.recipe.variants import read_variants

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "phantom"  # makes a base
RECIPE = HERE / "hard.yaml"
SEEDS = (0, 1, 2)
CONTRASTS = (("best", "sft"), ("best", "best-uniform"), ("best", "best-shuffled"))
MEASURES = ("closed_accuracy", "f1", "false_claims")
FEW = ["data.images=4", "evaluate.data.images=4", "train.epochs=1"]  # where it is tiny


def make_base(given: argparse.Namespace) -> dict[str, Any]:
    """Make the base where it is not there, and examine it on films that nothing is measured on later."""
    place = given.folder / "base"
    how = ["--size", given.size, "--films", "hard", "--device", given.device, "--dtype", given.dtype]
    if not (place / "making.json").exists():
        workers = str(min(os.cpu_count() or 1, 32))
        _script(str(place), *how, "--workers", workers, "--minutes", str(given.minutes))
    images = "4" if given.size == "tiny" else "100"
    figures = json.loads(_script(str(place), *how, "--validate", "--images", images))
    return {**figures, **json.loads((place / "making.json").read_text())}


def _script(*words: str) -> str:
    """Run the script that makes bases, and pass on what it says."""
    done = subprocess.run([sys.executable, str(SCRIPT), *words], stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout


def run_seeds(given: argparse.Namespace) -> dict[str, Any]:
    """Carry out the recipe with every seed at once: none of the runs alone keeps a GPU busy."""
    tiny = given.size == "tiny"
    running = {}
    for seed in SEEDS[:1] if tiny else SEEDS:
        place = given.folder / f"seed-{seed}"
        place.mkdir(parents=True, exist_ok=True)
        words = [f"output={place}", f"seed={seed}", f"data.seed={seed}", f"device={given.device}"]
        words += [f"dtype={given.dtype}", f"backbone.checkpoint={given.folder / 'base'}", *(FEW if tiny else [])]
        line = [sys.executable, "-m", "mmedpo", "run", str(RECIPE), *words]
        log = (place / "log.txt").open("w")
        running[place] = subprocess.Popen(line, stdout=log, stderr=log, env={"OMP_NUM_THREADS": "1", **os.environ})
    failed = [place for place, process in running.items() if process.wait()]
    for place in failed:
        print((place / "log.txt").read_text()[-3000:], flush=True)
    if failed:
        raise SystemExit(f"mmedpo run failed: {', '.join(place.name for place in failed)}")
    return {"seeds": len(running)}


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Compare the variants that are finished with all seeds."""
    variants, _ = read_variants(read_recipe(RECIPE))
    seeds = sorted(given.folder.glob("seed-*"))
    methods = {one.name: [seed / one.name for seed in seeds] for one in variants}
    methods = {name: runs for name, runs in methods.items() if all((run / "measures.json").exists() for run in runs)}
    if not methods:
        raise SystemExit(f"{given.folder}: no variant of {RECIPE.name} is finished with all seeds")
    found = {
        "settings": describe_study(RECIPE, [run for runs in methods.values() for run in runs], size=given.size),
        "table": keep_values(compare_runs(methods, start=True)),
        "contrasts": _contrasts(methods),
    }
    write_results(given.folder / "results.json", found)
    return found


def _contrasts(methods: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    wanted = [(one, other) for one, other in CONTRASTS if {one, other} <= methods.keys()]
    return compare_contrasts(methods, wanted, only=MEASURES) if wanted else []


PARTS: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "base": make_base,
    "runs": run_seeds,
    "compare": compare,
}


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--folder", type=Path, default=Path("runs/study/hard"))
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--size", choices=["large", "small", "tiny"], default="large", help="of the base")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the base's training, about")
    parser.add_argument("--out", type=Path, help="where what was found is written as JSON")
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    given.folder.mkdir(parents=True, exist_ok=True)
    found = PARTS[given.part](given)
    if given.out:
        given.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
