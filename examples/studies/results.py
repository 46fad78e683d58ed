"""What a study leaves: a small file of what it found and how, from which its page in docs/studies is written.

    python examples/studies/results.py FILE RECIPE RUN...     # of runs that are not one of the studies beside this file

Every RUN, a method of its own, is measured against the model that the first of them began with.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isfinite
from pathlib import Path
from shutil import which
from typing import Any

from mmedpo import read_run
from mmedpo.evaluate.comparison import compare_runs

PLACES = 6  # of a number; a page shows three


def measure_runs(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Measure each run, a method each, and the start of the first, with differences to it."""
    return keep_values(compare_runs({run.name: [run] for run in runs}, start=True))


def keep_values(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of a comparison's rows what a page tells, with the plain name of each method."""
    kept = ("measure", "value", "difference", "low", "high")
    return [{"method": row["method"], **{key: row[key] for key in kept if key in row}} for row in rows]


def describe_study(recipe: Path, runs: Sequence[Path], **more: Any) -> dict[str, Any]:
    """Return the settings of a study: its recipe, the version that carried it out, films, seeds, bases and minutes."""
    records = [read_run(folder) for folder in runs]
    recipes = [record.run.recipe for record in records]
    trained = [record.training.seconds for record in records if record.training]
    return {
        "recipe": recipe.name,
        "recipe_hash": sha256(recipe.read_bytes()).hexdigest()[:16],
        "commit": _commit(recipe.parent),
        "mmedpo": records[0].run.packages.get("mmedpo"),
        "seeds": sorted({record.run.seed for record in records}),
        "bases": len({str(one["backbone"].get("checkpoint")) for one in recipes}),
        "films": {"alignment": _films(recipes[0]["data"]), "measured": _films(recipes[0]["evaluate"]["data"])},
        "cases": len(records[0].answers()),
        "training_minutes": sum(trained) / 60,
        **more,
    }


def _films(readers: Any) -> int:
    """Return how many images readers draw; of data that are not drawn, nobody says it."""
    return sum(reader.get("images", 0) for reader in (readers if isinstance(readers, list) else [readers]))


def _commit(folder: Path) -> str:
    """Return the commit that a folder is at, with a + where it differs; nothing where there is no git."""
    if not which("git"):
        return ""
    line = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()


def write_results(place: Path, found: Mapping[str, Any]) -> None:
    """Write results as JSON, a row a line, so that a change of one can be read."""
    parts = (f" {json.dumps(name)}: {_write_part(part)}" for name, part in _rounded(found).items())
    place.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def _write_part(part: Any) -> str:
    if isinstance(part, list) and part and isinstance(part[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in part) + "\n ]"
    if isinstance(part, dict) and any(isinstance(value, dict | list) for value in part.values()):
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in part.items()) + "\n }"
    return json.dumps(part)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, PLACES) if isfinite(value) else None  # what is not defined has no number in JSON
    return value


def main() -> None:
    """Write a file of runs."""
    place, recipe, *runs = map(Path, sys.argv[1:])
    write_results(place, {"settings": describe_study(recipe, runs), "table": measure_runs(runs)})


if __name__ == "__main__":
    main()
