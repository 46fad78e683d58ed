"""Where a recipe names parts: the fields of its model, and of its sections' models, whose type is a contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_origin

from pydantic import BaseModel

from mmedpo.core.json_values import Keys
from mmedpo.recipe.document.overrides import find_models
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.kinds import Kind, find_kind


@dataclass(frozen=True)
class RecipeSlot:
    """A place in a recipe that names a part, or several, of one kind."""

    path: Keys
    kind: Kind
    several: bool


def find_slots(section: type[BaseModel], path: Keys = ()) -> Iterator[RecipeSlot]:
    """Yield the slots of a section's model and of those within it, in the order of their fields."""
    for name, field in section.model_fields.items():
        for model in find_models(field.annotation):
            if issubclass(model, Part):
                yield RecipeSlot((*path, name), find_kind(model), get_origin(field.annotation) is list)
            else:
                yield from find_slots(model, (*path, name))
