"""What a run folder says of its run: the recipe it was made with, and whether its data are restricted."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mmedpo.errors import DataError
from mmedpo.recipe.loading import reload_recipe
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.store.pairs_file import read_pairs
from mmedpo.store.run_folder import read_json, write_json


def is_restricted(folder: Path) -> bool:
    """Tell whether a run folder holds anything of restricted data, or may once something is read."""
    known = read_json(folder / "run.json") or {}
    if known.get("restricted", True):
        return True
    return (folder / "pairs.jsonl").exists() and any(item.pair.case.restricted for item in read_pairs(folder))


def load_run(folder: Path) -> LoadedRecipe:
    """Rebuild the checked recipe of a run folder from its run.json. Raises DataError when it is no run."""
    known = read_json(folder / "run.json")
    if not known:
        raise DataError(f"{folder}: is no run folder; it has no run.json")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "recipe.json"  # JSON is YAML
        write_json(path, known["recipe"])
        return reload_recipe(path)
