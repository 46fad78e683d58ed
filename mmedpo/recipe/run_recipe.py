"""What a run folder says of its run: the recipe it was made with, and whether its data are restricted."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from mmedpo.recipe.loading import reload_recipe
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.store.run_files.reader import read_run
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import find_result, list_rounds, round_folder
from mmedpo.store.run_folder import write_json


def load_run_recipe(folder: Path) -> LoadedRecipe:
    """Rebuild the checked recipe of a run folder from its run.json. Raises DataError when it is no run."""
    known = read_run(folder).run
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "recipe.json"  # JSON is YAML
        write_json(path, known.recipe)
        loaded = replace(reload_recipe(path), round=known.round)
    if known.round is None or known.round.number == 1:
        return loaded
    before = round_folder(find_result(folder).parent, known.round.number - 1)  # they move together
    backbone = loaded.recipe.backbone.model_copy(update={"adapter": str(before / "adapter")})
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"backbone": backbone}))


def is_restricted(folder: Path) -> bool:
    """Tell whether a run folder holds anything of restricted data, or may once something is read."""
    return any(map(_is_one_restricted, list_rounds(folder) or [folder]))


def _is_one_restricted(folder: Path) -> bool:
    if not (folder / RunRecord.file).exists():
        return True
    known = read_run(folder)
    return known.run.restricted or any(item.pair.case.restricted for item in known.pairs())
