"""What a run takes at scale: time, memory and files of each command on a data set of so many cases.

    python scripts/at_scale.py --cases 1000,100000 --json      # a data set and a run of each size, in runs/at_scale

The data are a CSV table, small PNG films (one for 25 cases) and five boxes a film; every part is a
cheap one, so that what is left is what the framework itself takes. Each command is a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

SHARING = 25  # cases a film
SIDE = 64
FINDINGS = ("nodule", "effusion", "pneumothorax", "cardiomegaly", "consolidation")
RECIPE = """\
output: {run}
seed: 0
data: {{use: csv, file: {table}, images: {films}, restricted: false}}
backbone: {{use: phantom}}
localize: {{use: annotated}}
disprefer:
  - {{use: opposite-answer}}
  - {{use: lesion-noise}}
score:
  - {{use: med-llm-vote}}
  - {{use: detector-confidence}}
weigh: {{use: clinical}}
"""

# The starting model alone, on the same cases: the phantom's model, the smallest there is, and one token an answer.
EVALUATE = (
    "evaluate={{data: {{use: csv, file: {folder}/questions.csv, images: {folder}/films, restricted: false}}, "
    "measure: [{{use: med-vqa}}], max_new_tokens: 1}}"
)


@dataclass(frozen=True)
class Step:
    """A command that is measured."""

    name: str
    words: tuple[str, ...]  # of `mmedpo`; {recipe}, {run} and {folder} stand for those of the data set


STEPS = (
    Step("check", ("check", "{recipe}")),
    Step("run", ("run", "{recipe}", "--until", "weigh")),
    Step("run again", ("run", "{recipe}", "--until", "weigh")),
    Step("export", ("export", "{run}", "--to", "ms-swift", "--out", "{folder}/exported")),
    Step("report", ("report", "{run}", "--out", "{folder}/report.html")),
    Step("evaluate", ("run", "{recipe}", EVALUATE)),
)


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    step: str
    seconds: float
    cpu_seconds: float  # of all its threads and children, in the system as well
    peak_mb: float  # resident
    most_files: int  # in one folder, of all that the commands so far have written
    mb_on_disk: float  # likewise
    status: int


def make_data_set(folder: Path, cases: int) -> Path:
    """Write films, table and recipe into a folder; return the recipe."""
    films, table = folder / "films", folder / "questions.csv"
    for number in range(-(-cases // SHARING)):
        write_film(films / f"{number // 1000}" / f"{number}.png", number)
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "image", "question", "answer", "group", "about", "boxes"))
        rows.writerows(map(row, range(cases)))
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(run=folder / "run", table=table, films=films))
    return recipe


def row(number: int) -> tuple[str, ...]:
    """Return a case's row of the table: its film's boxes, one of which it asks about."""
    film, finding = number // SHARING, FINDINGS[number % len(FINDINGS)]
    question = f"Is there a {finding} in the {('left', 'right')[number % 2]} lung, as read {number % SHARING} h later?"
    answer = ("Yes", "No")[number // 7 % 2]
    name = f"{film // 1000}/{film}.png"
    return str(number), name, question, answer, f"patient {film // 2}", finding, boxes(film)


@cache
def boxes(film: int) -> str:
    """Return the boxes of a film as its rows have them: one for each finding."""
    drawn = random.Random(film)
    marks = []
    for finding in FINDINGS:
        left, top, sure = drawn.randrange(4, 28), drawn.randrange(4, 28), drawn.randrange(50, 100) / 100
        marks.append({"label": finding, "box": [left, top, left + 24, top + 24], "confidence": sure})
    return json.dumps(marks)


def write_film(path: Path, number: int) -> None:
    """Write a film that no other number has."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = Image.frombytes("L", (8, 8), random.Random(number).randbytes(64))
    coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)


def measure(step: Step, folder: Path, recipe: Path, log: Path) -> Taken:
    """Run a command in a process of its own, and return what it took."""
    places = {"recipe": str(recipe), "run": str(folder / "run"), "folder": str(folder)}
    line = [sys.executable, "-m", "mmedpo", *(word.format(**places) for word in step.words)]
    began = time.monotonic()
    with log.open("ab") as said:
        process = subprocess.Popen(line, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    files, size = survey(folder)
    return Taken(
        step.name, round(seconds, 2), round(cpu, 2), round(used.ru_maxrss / 1024, 1), files, size, process.returncode
    )


def survey(folder: Path) -> tuple[int, float]:
    """Return the greatest number of files in one folder, films aside, and how many MB there are; links count once."""
    most, sizes = 0, dict[int, int]()
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) != folder / "films"]
        most = max(most, len(names))
        for name in names:
            stat = os.stat(Path(place, name))
            sizes[stat.st_ino] = stat.st_size
    return most, round(sum(sizes.values()) / 2**20, 1)


def measure_size(folder: Path, cases: int, steps: Sequence[Step]) -> Iterator[Taken]:
    """Yield what each command takes on so many cases; stop at one that fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recipe = make_data_set(folder, cases)
    for step in steps:
        taken = measure(step, folder, recipe, folder / "log.txt")
        yield taken
        if taken.status:
            raise SystemExit(f"{step.name} of {cases} cases ended with {taken.status}; see {folder / 'log.txt'}")


def table_lines(found: Mapping[int, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield the lines of a table: a row for each command and size."""
    head = ("cases", "command", "seconds", "CPU s", "CPU ms a case", "peak MB", "files", "MB")
    yield ("{:>8} {:<12}" + " {:>13}" * 6).format(*head)
    for cases, rows in found.items():
        for one in rows:
            each = round(1000 * one["cpu_seconds"] / cases, 3)
            figures = (one["seconds"], one["cpu_seconds"], each, one["peak_mb"], one["most_files"], one["mb_on_disk"])
            yield (f"{cases:>8,} {one['step']:<12}" + " {:>13}" * 6).format(*figures)


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="1000,10000", help="how many, by comma")
    parser.add_argument("--steps", default=",".join(step.name for step in STEPS), help="which commands, by comma")
    parser.add_argument("--folder", type=Path, default=Path("runs/at_scale"))
    parser.add_argument("--keep", action="store_true", help="leave data and runs there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    steps = [step for step in STEPS if step.name in options.steps.split(",")]
    found: dict[int, list[dict[str, Any]]] = {}
    for cases in map(int, options.cases.split(",")):
        folder = options.folder.absolute() / str(cases)
        found[cases] = [asdict(taken) for taken in measure_size(folder, cases, steps)]
        if not options.keep:
            shutil.rmtree(folder)
    print(json.dumps(found, indent=2) if options.json else "\n".join(table_lines(found)))


if __name__ == "__main__":
    main()
