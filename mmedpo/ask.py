"""Ask a run's model about an image: before and after alignment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmedpo.errors import DataError
from mmedpo.pictures import Picture, pixel_hash, read_image
from mmedpo.pipeline import load_run
from mmedpo.records import Case
from mmedpo.run import resolve_setting


def answers_of(folder: Path, image: Path, question: str) -> dict[str, str]:
    """Return the answers by model. Raises DataError when the run has no adapter or the image cannot be read."""
    recipe = load_run(folder).recipe
    adapter = folder / "adapter"
    if not adapter.exists():
        raise DataError(f"{adapter}: there is no adapter yet; run the recipe first")
    pixels = read_image(image)
    case = Case("asked", replace(Picture.at(image), sha256=pixel_hash(pixels)), question, "")
    aligned = recipe.backbone.model_copy(update={"adapter": str(adapter)})
    answers = {}
    for name, backbone in (("before", recipe.backbone), ("after", aligned)):
        with backbone.open(resolve_setting(recipe)) as live:
            answers[name] = live.answer([case])[0]
    return answers
