"""Changes to a recipe from outside its file: `key.key=value` on the command line, and what a variant changes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, get_args

from pydantic import BaseModel

from mmedpo.core.json_values import Keys
from mmedpo.errors import RecipeError
from mmedpo.recipe.document import yaml
from mmedpo.recipe.document.yaml import DEEPEST, YamlDocument

SHOWN = 200  # characters of an override that a message repeats


def apply_override(text: str, tree: YamlDocument) -> None:
    """Apply `key.key=value`; the value is YAML, the place of what it sets is the command line. Raises RecipeError."""
    here = f"command line: {text if len(text) <= SHOWN else text[:SHOWN] + '...'}"
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RecipeError(f"{here}: an override is written key=value, for example train.epochs=1")
    set_value(name, yaml.parse_yaml(value, here).values, here, tree)


def set_value(name: str, value: Any, here: str, tree: YamlDocument) -> None:
    """Set what a dotted key names; from now on its place is `here`. Raises RecipeError where there is no such place.

    `null` takes an entry out of a list; elsewhere it stands for what an option is without it (see `drop_nulls`).
    """
    path: Keys = tuple(int(key) if key.isdecimal() and len(key) < 7 else key for key in name.split("."))
    holder = tree.values
    for depth, key in enumerate(path[:-1]) if len(path) <= DEEPEST else ():
        holder = _descend(holder, key, create=isinstance(path[depth + 1], str))
    last = path[-1]
    if isinstance(holder, list) and isinstance(last, int) and last <= len(holder):
        holder[last : last + 1] = [deepcopy(value)] if value is not None else []  # the number after the last one adds
    elif isinstance(holder, dict) and len(path) <= DEEPEST:
        holder[str(last)] = deepcopy(value)
    else:
        raise RecipeError(f"{here}: the recipe has nothing at {name[:SHOWN]!r} to set")
    for table in (tree.places, tree.keys):
        for known in [known for known in table if known[: len(path)] == path]:
            del table[known]
    tree.places[path] = tree.keys[path] = here


def _descend(holder: Any, key: str | int, *, create: bool) -> Any:
    """Go one step down the tree; make a missing (or empty) section when a key is to be set in it."""
    if isinstance(holder, list):
        return holder[key] if isinstance(key, int) and key < len(holder) else None
    if not isinstance(holder, dict):
        return None
    if create and holder.get(str(key)) is None:
        holder[str(key)] = {}
    return holder.get(str(key))


def drop_nulls(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Leave out each null where the option takes none: it then is what it is by default, or missing."""
    kept = {}
    for key, value in values.items():
        field = model.model_fields.get(key)
        if value is None and field is not None and not accepts_null(field.annotation):
            continue
        inner = list(find_models(field.annotation)) if field is not None and isinstance(value, dict) else []
        kept[key] = drop_nulls(value, inner[0]) if len(inner) == 1 else value
    return kept


def accepts_null(annotation: Any) -> bool:
    """Tell whether null is a value of a type."""
    return annotation is Any or annotation is type(None) or any(map(accepts_null, _list_alternatives(annotation)))


def _list_alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return what a union is made of, or what an annotated type annotates."""
    if hasattr(annotation, "__metadata__"):
        return get_args(annotation)[:1]
    origin = getattr(annotation, "__origin__", None)
    return () if isinstance(origin, type) else get_args(annotation)  # list[X] has arguments, but is no union


def find_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in find_models(inner)]
