"""A whole recipe around parts that are tried: tiny data, the tiny backbone, the usual parts for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mmedpo.core.records import Case, Pair
from mmedpo.core.stage import Stage
from mmedpo.errors import RecipeError
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.checks import find_contradictions
from mmedpo.recipe.document.yaml import YamlDocument
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.discovery import find_plugin, load_part, resolve_part
from mmedpo.registry.kinds import KINDS, find_kind
from mmedpo.store.run_files.reader import RunFiles, read_run
from mmedpo.testing.tiny import make_pair, tiny_cases
from mmedpo.testing.tiny_backbone import TinyBackbone

NAME = "the tiny recipe"
UNTIL = {"reader": Stage.READ, "loss": Stage.TRAIN, "metric": Stage.EVALUATE, "backbone": Stage.EVALUATE}


class TinyCases(Reader):
    """Yield tiny cases."""

    use: ClassVar[str] = "tiny-cases"
    restricted: bool = False
    """Whether the data must not leave this machine."""
    count: int = Field(default=8, ge=1)
    """How many."""
    start: int = Field(default=0, ge=0)
    """The number of the first one; those from 40 on are held out."""

    def read(self) -> Iterator[Case]:
        """Yield them."""
        yield from tiny_cases(self.start + self.count)[self.start :]


class TinyPairs(TinyCases):
    """Yield tiny pairs, of both kinds."""

    use: ClassVar[str] = "tiny-pairs"
    yields: ClassVar[Any] = "pairs"

    def read(self) -> Iterator[Pair]:  # type: ignore[override]
        """Yield them."""
        for case in super().read():
            yield make_pair(case, "text")
            yield replace(make_pair(case, "image"), number=1)


class TinyModel(Backbone):
    """Open to the tiny backbone."""

    use: ClassVar[str] = "tiny"

    def open(self, setting: Setting) -> AbstractContextManager[TinyBackbone]:
        """Make its network when something of it is asked for."""
        return nullcontext(TinyBackbone())


def run_tiny_recipe(folder: Path, *parts: Part, until: str | None = None) -> RunFiles:
    """Carry out a whole tiny recipe with these parts in a folder, and return what it wrote.

    It reads eight tiny cases, or pairs where nobody makes any; the backbone is tiny, the other parts are the usual
    ones. It goes as far as the parts are needed, at least to the weighted pairs, or `until` a stage. Run again in the
    same folder, it goes on where it stopped. A part need not be installed. Errors are those of `mmedpo run`.
    """
    loaded = load_tiny_recipe(folder, parts)
    stage = Stage(until) if until else _last_stage(parts)
    return read_run(run_recipe(loaded, lambda event: None, until=stage).folder)


def _last_stage(parts: Sequence[Part]) -> Stage:
    stages = [UNTIL.get(find_kind(type(part)).name, Stage.WEIGH) for part in parts]
    return max(stages, key=list(Stage).index, default=Stage.WEIGH)


def load_tiny_recipe(folder: Path, parts: Sequence[Part]) -> LoadedRecipe:
    """Return the recipe that has these parts. Raises RecipeError where they do not go together."""
    by_kind = {kind: [part for part in parts if find_kind(type(part)).name == kind] for kind in KINDS}
    loss = by_kind["loss"] or [_usual("loss", "sigmoid")]
    made = by_kind["dispreference"] or ([_usual("dispreference", "blank")] if by_kind["localizer"] else [])
    values: dict[str, Any] = {
        "output": folder / "run",
        "device": "cpu",
        "threads": 1,
        "data": by_kind["reader"] or [TinyCases() if made else TinyPairs()],
        "backbone": next(iter(by_kind["backbone"]), TinyModel()),
        "localize": by_kind["localizer"],
        "disprefer": made,
        "score": by_kind["scorer"],
        "unrated": "keep",
        "weigh": next(iter(by_kind["weighting"]), None) or _usual("weighting", "clinical"),
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "lora": {"r": 2}, "loss": loss},
        "observe": by_kind["observer"],
    }
    if by_kind["metric"] or by_kind["backbone"]:
        measure = by_kind["metric"] or [_usual("metric", "med-vqa")]
        values["evaluate"] = {"data": TinyCases(start=40, count=4), "measure": measure, "max_new_tokens": 8}
    recipe = Recipe.model_validate(values)
    loaded = LoadedRecipe(recipe, {}, NAME, YamlDocument({}, places={(): NAME}))
    loaded.plugins.update({type(part): find_plugin(part) for _, part in loaded.parts()})
    if wrong := [message for _, message in find_contradictions(loaded)]:
        raise RecipeError("\n".join(f"{NAME}: {message}" for message in wrong))
    return loaded


def _usual(kind: str, use: str) -> Part:
    return load_part(resolve_part(KINDS[kind], use))()
