"""Read which runs a recipe is about: its variants, and the seeds that each is run with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmedpo.errors import RecipeError
from mmedpo.recipe.document.mistakes import MistakeList
from mmedpo.recipe.document.overrides import apply_override
from mmedpo.recipe.document.yaml import YamlDocument
from mmedpo.recipe.model import PLAN


@dataclass(frozen=True)
class RecipeVariant:
    """One way to carry out a recipe: a name, and what it changes."""

    name: str
    changes: dict[str, Any]  # dotted key -> value, as on the command line


def is_about_plan(override: str) -> bool:
    """Tell whether an override is about which variants and seeds there are."""
    return override.partition("=")[0].split(".")[0] in PLAN


def read_variants(source: YamlDocument, overrides: Sequence[str] = ()) -> tuple[list[RecipeVariant], list[int]]:
    """Return the variants, in order, and the seeds of a recipe that was read. Raises RecipeError."""
    tree = source.copy()
    mistakes = MistakeList(tree)
    for text in overrides:
        if is_about_plan(text):
            with mistakes.collect():
                apply_override(text, tree)
    mistakes.raise_all()
    variants, seeds = _check_variants(tree), _check_seeds(tree)
    if seeds and not variants:
        raise RecipeError(f"{tree.place(('seeds',))}: 'seeds:' are for 'variants:'; write variants: {{NAME: {{}}}}")
    return variants, seeds


def _check_variants(tree: YamlDocument) -> list[RecipeVariant]:
    written = tree.values.get("variants") or {}
    if not isinstance(written, dict) or not all(isinstance(item, dict | None) for item in written.values()):
        raise RecipeError(f"{tree.place(('variants',))}: variants are written {{NAME: {{key.key: value}}, ...}}")
    for name in written:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", name):
            rule = "names a folder; use at most 100 letters, digits, . _ + -"
            raise RecipeError(f"{tree.place(('variants', name))}: {name[:200]!r} {rule}")
    return [RecipeVariant(name, dict(changes or {})) for name, changes in written.items()]


def _check_seeds(tree: YamlDocument) -> list[int]:
    seeds = tree.values.get("seeds") or []
    if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds):
        raise RecipeError(f"{tree.place(('seeds',))}: seeds are a list of whole numbers, for example [0, 1, 2]")
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"{tree.place(('seeds',))}: a seed stands here twice; its runs would be one")
    return seeds
