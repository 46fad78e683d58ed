"""The phantom study: does alignment help, over what, and does the model look? docs/studies/evidence.md has the results.

    python examples/studies/study.py explore sides      # every method at every rate, on validation films
    python examples/studies/study.py confirm sides      # the frozen methods on test films, once: 3 bases x 3 seeds
    python examples/studies/study.py confirm sides --small      # minutes; shows that it works, and nothing else

`presence` asks whether a finding is there, `sides` whether it is there on a side, and trains on films of a hospital
with habits, `beyond` asks there what goes beyond SFT. Both parts carry out a recipe beside this file with `mmedpo run`,
so a study that was stopped goes on where it was. Bases other than the packaged one are made first where they are
missing (20 minutes each, --bases N for fewer).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo_plugins.phantom.backbone import WEIGHTS
from mmedpo_plugins.phantom.exam import mean
from report_curve import f1_at, greedy_row
from results import describe_study, keep_values, write_results

from mmedpo import read_run
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.evaluate.contrasts import compare_contrasts
from mmedpo.recipe.loading import read_recipe
from mmedpo.recipe.variants import read_variants

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "phantom"  # makes a base
RATES = (5e-4, 1.5e-3, 4.5e-3)  # the same for every method
START_RATE = 1.5e-3  # of the first stage, where a method has two


@dataclass(frozen=True)
class Study:
    """What is tried, on what films; no seed is in two studies, or in both parts of one."""

    trials: tuple[int, ...]  # seeds of the alignment films and of the training
    confirmed: tuple[int, ...]
    recipe: str = "explore.yaml"
    changes: tuple[str, ...] = ()  # what differs from the recipe
    every_rate: bool = True  # or as the recipe has it
    contrasts: tuple[tuple[str, str], ...] = (("best", "sft"), ("best", "best-uniform"), ("best", "best-shuffled"))


STUDIES = {
    "presence": Study((10, 11), (0, 1, 2)),
    "sides": Study(
        (20, 21),
        (3, 4, 5),
        changes=(
            *("data.sides=true", "data.world=usual", "data.images=100", "train.epochs=10"),
            *("evaluate.data.sides=true", "evaluate.data.seed=1"),  # other films than those of `presence`
        ),
    ),
    "beyond": Study(
        (40, 41),
        (42, 43, 44),
        recipe="beyond.yaml",
        every_rate=False,
        contrasts=(("anew", "sft"), ("anew", "sft-mirrored"), ("anew", "sft-anew")),
    ),
    "image-half": Study((50, 51), (), recipe="image_half.yaml", every_rate=False),
}
MEASURES = (
    "closed_accuracy",
    "f1",
    "false_claims",
)  # the primary ones; a method is chosen by their sum, false claims less
SHOWN = (*MEASURES, "closed_unparsed", "closed_yes", "open_exact", "side_accuracy", "place_accuracy", "missed")
OTHERS = (  # what the page tells besides
    *(("best", "sft-once"), ("best", "sft-of-best"), ("sft-of-best", "sft"), ("mmedpo", "sft-once")),
    *((method, "start") for method in ("sft-once", "sft", "dpo", "mmedpo", "best", "sft-of-best")),
)


@dataclass(frozen=True)
class Job:
    """All methods with one base and one seed, in one process."""

    recipe: Path
    folder: Path
    words: tuple[str, ...]

    def __call__(self) -> None:
        """Carry it out on one thread."""
        self.folder.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", "mmedpo", "run", str(self.recipe), f"output={self.folder}", *self.words]
        with (self.folder / "log.txt").open("w") as log:
            done = subprocess.run(line, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if done.returncode:
            raise SystemExit(f"{' '.join(line)}\nended with {done.returncode}; see {self.folder / 'log.txt'}")


def bases(folder: Path, count: int) -> Iterator[Path]:
    """Yield the packaged base and others, made from the same script with other seeds."""
    yield WEIGHTS
    for seed in range(1, count):
        place = folder / f"base-{seed}"
        if not (place / "model.safetensors").exists():
            subprocess.run([sys.executable, str(SCRIPT), str(place), "--seed", str(seed)], check=True)
        yield place


def jobs(recipe: Path, places: Sequence[Path], seeds: Sequence[int], out: Path, extra: Sequence[str]) -> Iterator[Job]:
    """Yield a job for each base and seed."""
    for seed in seeds:  # so that a study that has to end early has whole seeds
        for number, base in enumerate(places):
            words = [f"backbone.checkpoint={base}", f"seed={seed}", f"data.seed={seed}", *extra]
            yield Job(recipe, out / f"base-{number}" / f"seed-{seed}", tuple(words))


def at_every_rate(methods: Sequence[str], rates: Sequence[float]) -> str:
    """Return the override that carries out each method of explore.yaml at each rate, after what it starts from."""
    variants, _ = read_variants(read_recipe(HERE / "explore.yaml"))
    chosen = [one for one in variants if not methods or one.name in methods]
    starts = {one.changes["start"] for one in chosen if "start" in one.changes}
    planned = {}
    for one in variants:
        own = {*(rates if one in chosen else ()), *([START_RATE] if one.name in starts else ())}
        for rate in sorted(own):
            changes = {**one.changes, "train.learning_rate": rate}
            if "start" in changes:
                changes["start"] = f"{changes['start']}+{START_RATE:g}"
            planned[f"{one.name}+{rate:g}"] = changes
    return "variants=" + json.dumps(planned)


def gather(made: Sequence[Job], methods: Sequence[str]) -> dict[str, list[Path]]:
    """Return each method's run folders, one a job."""
    return {method: [job.folder / method for job in made] for method in methods}


def table(runs: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """Measure every method against the start, over all bases and seeds."""
    return keep_values(compare_runs(runs, start=True))


def others(runs: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """Return differences that were not named beforehand: they describe, and test nothing."""
    asked = [(one, other) for one, other in OTHERS if one in runs and (other in runs or other == "start")]
    rows = compare_contrasts(runs, asked, only=MEASURES)
    return [{key: value for key, value in row.items() if key not in ("p", "p_holm", "half_width")} for row in rows]


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["explore", "confirm"])
    parser.add_argument("questions", choices=list(STUDIES))
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--bases", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="*", help="other seeds than those written down")
    parser.add_argument("--methods", default="", help="of explore: only these, by comma")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="of explore: other rates")
    parser.add_argument("--change", nargs="*", default=[], help="other values in the recipe, as mmedpo run takes them")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread")
    parser.add_argument("--small", action="store_true", help="few films, one base, one seed")
    given = parser.parse_args()
    chosen = given.methods.split(",") if given.methods else []
    study = STUDIES[given.questions]
    if given.part == "confirm" and not study.confirmed:
        parser.error(f"{given.questions} is chosen on validation films; nothing of it is confirmed")
    seeds = given.seeds or (study.trials if given.part == "explore" else study.confirmed)
    recipe, extra = HERE / f"confirm-{given.questions}.yaml", []
    if given.part == "explore":
        planned = [at_every_rate(chosen, given.rates)] if study.every_rate else []
        recipe, extra = HERE / study.recipe, [*study.changes, *planned]
    extra += given.change
    if given.small:
        given.bases, seeds = 1, seeds[:1]
        extra += ["data.images=4", "evaluate.data.images=4", "train.epochs=1"]
    out = given.out / given.questions
    places = list(bases(given.out / "bases", 1 if given.part == "explore" else given.bases))
    made = list(jobs(recipe, places, seeds, out / given.part, extra))
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(lambda job: job(), made))
        report(made, out / f"{given.part}.json", study.contrasts if given.part == "confirm" else (), pool, given.small)


def report(
    made: Sequence[Job], file: Path, contrasts: Sequence[tuple[str, str]], pool: ThreadPoolExecutor, small: bool
) -> None:
    """Write what was found as JSON, and print it as tables."""
    methods = [place.parent.name for place in sorted(made[0].folder.glob("*/report.html"), key=_age)]
    runs = gather(made, methods)
    every = [folder for of_method in runs.values() for folder in of_method]
    found: dict[str, Any] = {"settings": describe_study(made[0].recipe, every), "table": table(runs)}
    found["held_out"] = rank_held_out(runs)
    if contrasts:
        found["contrasts"] = compare_contrasts(runs, contrasts, only=MEASURES)
        found["others"] = others(runs)
        some = [job.folder for job in made if job.folder.name == made[0].folder.name]  # of the first seed
        taken = {
            method: list(pool.map(lambda run: examine(run, 4 if small else 100), [folder / method for folder in some]))
            for method in ["start", *(contrasts[0][:1] if small else methods)]
        }
        found["controls"] = match_reports(taken, "start" if small else "sft")
    write_results(file, found)
    print("\n".join(tables(found)))


def rank_held_out(runs: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """Return the share of held-out pairs of each kind that a method ranks right, the mean over its runs."""
    rows = []
    for method, folders in runs.items():
        trained = [record for folder in folders if (record := read_run(folder).training)]
        for kind in ("text", "image"):
            if shares := [record.validation[kind].accuracy for record in trained if kind in record.validation]:
                rows.append({"method": method, "kind": kind, "right": mean(shares)})
    return rows


def _age(page: Path) -> float:
    return page.stat().st_mtime


def examine(run: Path, films: int) -> dict[str, Any]:
    """Take the controls of a run on so many test films, in a process of its own."""
    line = [sys.executable, str(HERE / "controls.py"), str(run), str(films)]
    done = subprocess.run(
        line, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return dict(json.loads(done.stdout))


def match_reports(taken: dict[str, list[dict[str, Any]]], reference: str) -> dict[str, list[dict[str, float]]]:
    """Put in place of each curve of reports its F1 at the share of false claims that the reference's reports have."""
    rates = [greedy_row(one["report_curve"])["false_claims"] for one in taken[reference]]
    return {
        method: [
            {**{name: value for name, value in one.items() if name != "report_curve"}, "report_f1_matched": matched}
            for one, rate in zip(runs, rates, strict=True)
            for matched in [f1_at(one["report_curve"], rate)]
        ]
        for method, runs in taken.items()
    }


def tables(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of what was found, as Markdown."""
    values = {(row["method"], row["measure"]): row["value"] for row in found["table"]}
    methods = list(dict.fromkeys(method for method, _ in values))
    yield from _grid(["method", *SHOWN], [[m, *(values.get((m, name)) for name in SHOWN)] for m in methods])
    if "contrasts" in found:
        head = ["contrast", "measure", "difference", "95 % interval", "p (Holm)"]
        yield from _grid(head, [_contrast(row) for row in found["contrasts"]])
        names = list(next(iter(found["controls"].values()))[0])
        means = {m: [mean(one[name] for one in runs) for name in names] for m, runs in found["controls"].items()}
        yield from _grid(["method", *names], [[m, *figures] for m, figures in means.items()])


def _contrast(row: dict[str, Any]) -> list[Any]:
    low, high = row["low"], row["high"]
    gap = f"{row['difference']:+.3f}"
    return [f"{row['method']} - {row['against']}", row["measure"], gap, f"{low:+.3f} to {high:+.3f}", row["p_holm"]]


def _grid(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield ""
    for row in [head, ["---"] * len(head), *rows]:
        yield "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell or "") for cell in row) + " |"


if __name__ == "__main__":
    main()
