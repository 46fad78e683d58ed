"""Whether keeping an image's pairs together in a step changes what is learned, on the phantom.

    python tests/benchmarks/grouping.py --json

Trains the quickstart (noise of one strength) with `train.per_image` 0 (together) and 1 (plain shuffling), several seeds
of each, measures both on the same held-out films, and compares them case by case. Test films are not touched: it uses
a split of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rig.quickstart import FIXED_NOISE, RECIPE


def run(folder: Path, seed: int, per_image: int, images: int, films: int) -> Path:
    """Carry out one run; those of a seed share all but the training."""
    output = folder / f"per-image-{per_image}-seed-{seed}"
    words = [f"output={output}", f"seed={seed}", f"train.per_image={per_image}", f"data.images={images}"]
    words += ["evaluate.data.split=validation", f"evaluate.data.images={films}"]
    line = [sys.executable, "-m", "mmedpo", "run", str(RECIPE), *FIXED_NOISE, *words]
    subprocess.run(line, check=True, stdout=sys.stderr)
    return output


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=200, help="films to train on")
    parser.add_argument("--films", type=int, default=200, help="films to measure on")
    parser.add_argument("--folder", type=Path, default=Path("runs/grouping"))
    options = parser.parse_args()
    arms = [
        ",".join(str(run(options.folder, seed, arm, options.images, options.films)) for seed in range(options.seeds))
        for arm in (1, 0)
    ]
    form = ["--json"] if options.json else []
    subprocess.run([sys.executable, "-m", "mmedpo", "compare", *arms, *form], check=True)


if __name__ == "__main__":
    main()
