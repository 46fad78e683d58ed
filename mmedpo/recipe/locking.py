"""Hold a recipe to the packages that it pins: `--locked`, and the section that pins them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmedpo.errors import PluginError
from mmedpo.recipe.loading import name_packages, read_recipe
from mmedpo.recipe.requirements import write_requirements
from mmedpo.recipe.variants import RecipeVariant, read_variants


def require_pinned(path: Path, overrides: Sequence[str] = ()) -> None:
    """Raise PluginError, with a line each, for packages of a recipe whose files it does not pin; imports none."""
    unpinned = {
        name for packages, required in _name_all(path, overrides) for name in packages if not _read_hash(required, name)
    }
    if unpinned:
        cure = "--locked takes what `requires:` has the hash of; `mmedpo plugins lock RECIPE` prints it"
        raise PluginError("\n".join(f"{path}: {name} is not pinned: {cure}" for name in sorted(unpinned)))


def pin_packages(path: Path, overrides: Sequence[str] = ()) -> str:
    """Return the section `requires:` for the packages of a recipe, all its variants included; imports none."""
    return write_requirements({name for packages, _ in _name_all(path, overrides) for name in packages})


def _name_all(path: Path, overrides: Sequence[str]) -> Iterator[tuple[set[str], dict[str, Any]]]:
    source = read_recipe(path)
    variants: list[RecipeVariant | None] = [*read_variants(source, overrides)[0]] or [None]
    yield from (name_packages(source, overrides, variant) for variant in variants)


def _read_hash(required: dict[str, Any], name: str) -> Any:
    said = required.get(name)
    return said.get("hash") if isinstance(said, dict) else None
