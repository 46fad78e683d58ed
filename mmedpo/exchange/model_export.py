"""Write models in the plain transformers form, and adapters in PEFT's: what a run made, or what came from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from mmedpo.core.notes import print_note
from mmedpo.core.privacy import private_files
from mmedpo.errors import RecipeError
from mmedpo.models.files.adapter_files import CONFIG
from mmedpo.models.saving import export_backbone
from mmedpo.recipe.memory import require_room_to_export
from mmedpo.recipe.run_recipe import is_restricted, load_run_recipe
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.kinds import find_kind
from mmedpo.store.result_keys import adapter_of
from mmedpo.store.run_folder import write_folder_whole


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


def merge_adapter(use: str, checkpoint: str, adapter: Path, out: Path, dtype: str = "auto") -> None:
    """Write a checkpoint with an adapter merged into it, PEFT's or one with LLaVA's names. Raises DataError."""
    part = _make_part(use, checkpoint)
    require_room_to_export(part, dtype)
    export_backbone(part, out, adapter, dtype)


def convert_adapter(use: str, checkpoint: str, adapter: Path, out: Path, dtype: str = "auto") -> None:
    """Write an adapter of a checkpoint as stock PEFT reads it, with its projector and a record of its base."""
    from mmedpo.models.adapters import rewrite_adapter

    part = _make_part(use, checkpoint)
    require_room_to_export(part, "auto")
    with write_folder_whole(out) as partial, part.open(Setting(dtype="auto")) as live:
        rewrite_adapter(live.model, adapter, partial, dtype)


def convert_checkpoint(use: str, checkpoint: str, out: Path, dtype: str = "auto") -> None:
    """Write a checkpoint that the backbone part `use` reads. Raises RecipeError when the part takes none."""
    part = _make_part(use, checkpoint)
    require_room_to_export(part, dtype)
    export_backbone(part, out, dtype=dtype)


def refuse_adapter(folder: str | Path) -> None:
    """Raise RecipeError for an adapter whose base is not said."""
    if (Path(folder) / CONFIG).exists():
        raise RecipeError(f"{folder}: is an adapter; say --base CHECKPOINT, the model that it belongs to")


def _make_part(use: str, checkpoint: str) -> Backbone:
    try:
        cls = cast(type[Backbone], load_part(resolve_part(find_kind(Backbone), use)))
    except LookupError as error:
        raise RecipeError(f"--backbone: {error}") from error
    options: dict[str, Any] = {"checkpoint": checkpoint}
    try:
        return cls.model_validate(options)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]
        raise RecipeError(f"{checkpoint}: {why['msg'].removeprefix('Value error, ')}") from error
