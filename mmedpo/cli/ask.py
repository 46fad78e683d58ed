"""Ask a run's model about an image or several: before and after alignment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmedpo.core.answers import Answer
from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case
from mmedpo.errors import DataError, RecipeError
from mmedpo.recipe.memory import require_room
from mmedpo.recipe.run_recipe import load_run_recipe
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.contracts.reader import Reader
from mmedpo.runtime.context import resolve_setting
from mmedpo.runtime.threads import fit_threads
from mmedpo.store.result_keys import adapter_of

if TYPE_CHECKING:
    from PIL.Image import Image


def ask_models(folder: Path, images: Sequence[Path], question: str) -> dict[str, Answer]:
    """Return the answers by model.

    Raises DataError when the run has no adapter or an image cannot be read, RecipeError for several images where the
    backbone is shown one.
    """
    loaded = load_run_recipe(folder)
    recipe, plugin = loaded.recipe, loaded.plugins[type(loaded.recipe.backbone)]
    adapter = adapter_of(folder)
    if len(images) > 1 and not recipe.backbone.takes_several_images():
        raise RecipeError(f"the backbone {recipe.backbone.use!r} is shown one image, and here are {len(images)}")
    require_room(recipe, "to answer")
    readers = [*recipe.data, *([recipe.evaluate.data] if recipe.evaluate else [])]
    first, *more = (ImageRef.drawn(_pixels(image, readers)) for image in images)
    case = Case("asked", first, question, "", more_images=tuple(more))
    aligned = recipe.backbone.model_copy(update={"adapter": str(adapter)})
    answers = {}
    for name, backbone in (("before", loaded.start), ("after", aligned)):
        with backbone.open(resolve_setting(recipe)) as live, fit_threads(recipe.threads, live):
            (answers[name],) = check_answers(plugin, [case], live.answer([case]))
    return answers


def _pixels(image: Path, readers: Sequence[Reader]) -> Image:
    """Read an image as the run's readers read theirs, else as any. Raises DataError of the first that cannot."""
    wrong: list[DataError] = []
    for picture in [*(reader.picture for reader in readers), ImageRef.at]:
        try:
            return picture(image).load()
        except DataError as error:
            wrong.append(error)
    raise wrong[0]
