"""What the variants of a recipe differ in, held to a table that says it of each in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from mmedpo.recipe.model import dump_recipe
from mmedpo.recipe.planning import plan_runs

Factors = Mapping[str, Mapping[str, str]]  # by variant: what it has otherwise than the recipe as it stands, by factor


def require_factors(recipe: Path, told: Factors, places: Mapping[str, tuple[str, ...]]) -> None:
    """Require of any two variants told of that the keys in which they differ are of the factors that tell them apart.

    `places` has the dotted keys that each factor stands at.
    """
    planned = {one.variant: _flatten(dump_recipe(one.loaded)) for one in reversed(plan_runs(recipe))}  # of one seed
    for one, other in combinations(told, 2):
        both = planned[one], planned[other]
        keys = {key for key in both[0].keys() | both[1].keys() if both[0].get(key) != both[1].get(key)} - {"output"}
        apart = {name for name in places if told[one].get(name) != told[other].get(name)}
        moved = {name for name, held in places.items() if any(_is_in(key, held) for key in keys)}
        strays = {key for key in keys if not any(_is_in(key, places[name]) for name in apart)}
        assert (moved, strays) == (apart, set()), f"{one}, {other}"


def _is_in(key: str, places: tuple[str, ...]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def _flatten(value: Any) -> dict[str, Any]:
    return dict(_leaves(value, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _leaves(item, f"{path}.{key}" if path else str(key))
    if not items:
        yield path, value
