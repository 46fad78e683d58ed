"""Write models in the plain transformers form: a run's merged model, or a converted checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from mmedpo.core.notes import print_note
from mmedpo.core.privacy import private_files
from mmedpo.errors import RecipeError
from mmedpo.models.saving import export_backbone
from mmedpo.recipe.memory import require_room_to_export
from mmedpo.recipe.run_recipe import is_restricted, load_run_recipe
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.kinds import find_kind
from mmedpo.store.result_keys import adapter_of


def merge_run(folder: Path, out: Path, dtype: str = "auto") -> None:
    """Write a run's backbone with the trained adapter merged into it. Raises DataError when there is no adapter."""
    adapter = adapter_of(folder)
    recipe = load_run_recipe(folder).recipe
    if recipe.train and recipe.train.quantize:
        print_note(
            f"the adapter was trained on a base in {recipe.train.quantize}; it is merged into the base unquantised, "
            "onto which it is put to be measured too"
        )
    require_room_to_export(recipe.backbone, dtype)
    with private_files(is_restricted(folder)):
        export_backbone(recipe.backbone, out, adapter, dtype)


def convert_checkpoint(use: str, checkpoint: str, out: Path, dtype: str = "auto") -> None:
    """Write a checkpoint that the backbone part `use` reads. Raises RecipeError when the part takes none."""
    try:
        cls = cast(type[Backbone], load_part(resolve_part(find_kind(Backbone), use)))
    except LookupError as error:
        raise RecipeError(f"--backbone: {error}") from error
    options: dict[str, Any] = {"checkpoint": checkpoint}
    try:
        part = cls.model_validate(options)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]
        raise RecipeError(f"{checkpoint}: {why['msg'].removeprefix('Value error, ')}") from error
    require_room_to_export(part, dtype)
    export_backbone(part, out, dtype=dtype)
