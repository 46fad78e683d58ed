"""How many images of 512 x 512 a second get their lesion noised, and how many are on the disk a second.

    python tests/benchmarks/noise_speed.py --json

The films are in memory for the first figure, and read from PNG files and written as PNG files, as in a run, for the
second; both use the parts and the journal that a run uses. The figures per CPU second divide by the time that the
process had on all cores together, which other processes on the machine hardly change.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import LesionNoise
from PIL import Image

from mmedpo import Case, ImageRef, Pair, Region, Setting
from mmedpo.store.journal import Journal


def films(count: int) -> list[Case]:
    """Make smooth films with a little grain, each with a lesion of a fifth of the side."""
    random = np.random.default_rng(0)
    cases = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(30, 220, (16, 16), dtype=np.uint8)).resize((512, 512))
        grainy = np.asarray(coarse, dtype=float) + random.normal(0, 3, (512, 512))
        left, top = random.integers(0, 410, 2)
        region = Region("nodule", (float(left), float(top), float(left + 102), float(top + 102)), 0.9)
        picture = ImageRef.drawn(Image.fromarray(grainy.clip(0, 255).astype(np.uint8)))
        cases.append(Case(str(number), picture, "Is there a nodule?", "Yes", regions=(region,)))
    return cases


def noised_per_second(cases: list[Case], journal: Journal | None = None) -> tuple[float, float]:
    """Return images a second and a CPU second.

    Noise slices of 32 cases; with a journal, adopt the noised images and keep each slice, as a run does.
    """
    started, spent = time.perf_counter(), time.process_time()
    with LesionNoise().open(Setting()) as live:
        for start in range(0, len(cases), 32):
            some = cases[start : start + 32]
            for item in live.disprefer(some, None, [[]] * len(some)):
                assert isinstance(item, Pair)
                if journal:
                    journal.adopt(item.rejected.image)
            if journal:
                journal.put(f"slice {start}", [])
        if journal:
            journal.settle()
    return len(cases) / (time.perf_counter() - started), len(cases) / (time.process_time() - spent)


def measure(count: int) -> dict[str, Any]:
    cases = films(count)
    noised_per_second(cases[:32])  # warm-up
    held = noised_per_second(cases)
    with tempfile.TemporaryDirectory() as place:
        journal = Journal(Path(place) / "journal.sqlite")
        on_disk = []
        for case in cases:
            kept = journal.adopt(case.image)
            on_disk.append(Case(case.id, kept, case.question, case.answer, regions=case.regions))
        journal.settle()
        written = noised_per_second(on_disk, journal)
        journal.close()
    names = ("images_per_s", "images_per_cpu_s", "images_per_s_written", "images_per_cpu_s_written")
    return {**dict(zip(names, (round(value, 1) for value in (*held, *written)), strict=True)), "images": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.images)
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    sys.exit(main())
