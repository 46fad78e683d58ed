"""Read a recipe: one YAML file, with overrides, into parts and options; all mistakes are reported at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from mmedpo.core.json_values import Keys
from mmedpo.errors import PluginError, RecipeError
from mmedpo.recipe.checks import find_contradictions, find_unused
from mmedpo.recipe.document.mistakes import MistakeList
from mmedpo.recipe.document.overrides import apply_override, drop_nulls, find_models, set_value
from mmedpo.recipe.document.yaml import YamlDocument, read_yaml
from mmedpo.recipe.model import DEFAULTS, PLAN, SLOTS, LoadedRecipe, Recipe
from mmedpo.recipe.requirements import RequiredPackage, Requirements, find_differences
from mmedpo.recipe.slots import RecipeSlot
from mmedpo.recipe.variants import RecipeVariant, is_about_plan
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.discovery import load_part, resolve_part, suggest_word
from mmedpo.registry.kinds import Kind
from mmedpo.registry.making import make_part
from mmedpo.registry.metadata import OURS
from mmedpo.registry.path_options import expand_home
from mmedpo.registry.plugin_info import PluginInfo


def read_recipe(path: Path) -> YamlDocument:
    """Read a recipe's file. Raises RecipeError with the place when it is none."""
    tree = read_yaml(path)
    if not isinstance(tree.values, dict):
        raise RecipeError(f"{tree.place(())}: a recipe is a mapping that starts with 'output:' or 'data:'")
    return tree


def load_recipe(path: Path, overrides: Sequence[str] = (), variant: RecipeVariant | None = None) -> LoadedRecipe:
    """Read and check a recipe, or one of its variants.

    Raises RecipeError (or PluginError) that lists every mistake, a line each.
    """
    return load_tree(read_recipe(path), str(path), overrides, variant)


def load_tree(
    source: YamlDocument,
    name: str,
    overrides: Sequence[str] = (),
    variant: RecipeVariant | None = None,
    *,
    all_used: bool = True,
) -> LoadedRecipe:
    """Check a recipe that was read, or one of its variants; unless `all_used`, it may name what no run would use."""
    loaded, mistakes = _resolve(source, name, overrides, variant)
    if loaded is not None:
        wrong = [*find_contradictions(loaded), *(find_unused(loaded) if all_used else ())]
        mistakes.messages += [f"{loaded.place(place)}: {message}" for place, message in wrong]
    mistakes.raise_all()
    assert loaded is not None
    return loaded


def reload_recipe(path: Path) -> LoadedRecipe:
    """Load the recipe of an earlier run, which was checked as the rules were then."""
    loaded, mistakes = _resolve(read_recipe(path), str(path))
    mistakes.raise_all()
    assert loaded is not None
    return loaded


def name_packages(
    source: YamlDocument, overrides: Sequence[str] = (), variant: RecipeVariant | None = None
) -> tuple[set[str], dict[str, Any]]:
    """Return the packages that a recipe's parts come from, and what it says of them in `requires:`; imports none.

    A part that nobody has is passed over: loading the recipe tells of it.
    """
    tree = source.copy()
    _apply_changes(tree, overrides, variant, MistakeList(tree))
    packages = {OURS}
    for _, slot, items in _list_written(_fill_defaults(tree.values)):
        for _, item in items:
            with suppress(LookupError):
                packages.add(resolve_part(slot.kind, str(item["use"]) if isinstance(item, dict) else "").package)
    required = tree.values.get("requires")
    return packages, required if isinstance(required, dict) else {}


def _resolve(
    source: YamlDocument, name: str, overrides: Sequence[str] = (), variant: RecipeVariant | None = None
) -> tuple[LoadedRecipe | None, MistakeList]:
    """Return the recipe, where it can be made, and what is wrong word by word."""
    tree = source.copy()
    mistakes = MistakeList(tree, list(dict.fromkeys(tree.repeated)))
    _apply_changes(tree, overrides, variant, mistakes)
    values = _expand_homes(tree.values, (), mistakes)
    values = _fill_defaults(values)
    if not _meets_requirements(values.get("requires") or {}, mistakes):
        return None, mistakes
    plugins: dict[type[Part], PluginInfo] = {}
    filled, doubtful = _fill_slots(values, mistakes, plugins)
    _fill_held_out(filled, doubtful, mistakes)
    recipe = _validate_core(drop_nulls(filled, Recipe), doubtful, mistakes)
    return (LoadedRecipe(recipe, plugins, name, tree) if recipe is not None else None), mistakes


def _meets_requirements(written: Any, mistakes: MistakeList) -> bool:
    """Tell whether packages are here as the recipe requires them, and note those that are not."""
    try:
        required = TypeAdapter(Requirements).validate_python(written)
    except ValidationError as error:
        for place, message, of_key in _explain(error, ("requires",), RequiredPackage):
            mistakes.add(place, message, of_key=of_key)
        return False
    for name, why in find_differences(required):
        mistakes.plugin_errors.append(f"{mistakes.tree.place(('requires', name))}: {why}")
    return not mistakes.plugin_errors


def _apply_changes(
    tree: YamlDocument, overrides: Sequence[str], variant: RecipeVariant | None, mistakes: MistakeList
) -> None:
    """Put a variant's changes into the tree, then the overrides: the command line has the last word."""
    for key, value in variant.changes.items() if variant else ():
        assert variant is not None
        with mistakes.collect():
            set_value(key, value, tree.place(("variants", variant.name, key)), tree)
    for key in PLAN:
        tree.values.pop(key, None)
    for text in overrides:
        if not is_about_plan(text):
            with mistakes.collect():
                apply_override(text, tree)


def _expand_homes(value: Any, path: Keys, mistakes: MistakeList) -> Any:
    """Return values with every `~/` filled in."""
    if isinstance(value, dict):
        return {key: _expand_homes(item, (*path, key), mistakes) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand_homes(item, (*path, index), mistakes) for index, item in enumerate(value)]
    try:
        return expand_home(value) if isinstance(value, str) else value
    except ValueError as error:
        mistakes.add(path, str(error))
        return value


def _fill_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with the parts that a recipe need not name, where their section is written."""
    filled = _copied(values)
    for path, default in DEFAULTS.items():
        holder: Any = filled
        for key in path[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get(path[-1]) is None:
            holder[path[-1]] = default
    return filled


def _fill_slots(
    values: dict[str, Any], mistakes: MistakeList, plugins: dict[type[Part], PluginInfo]
) -> tuple[dict[str, Any], set[Keys]]:
    """Replace what the slots hold by parts; also return the slots whose parts could not be made."""
    filled = _copied(values)
    doubtful: set[Keys] = set()
    for holder, slot, items in _list_written(filled):
        parts = [_make_part(slot.kind, place, item, mistakes, plugins) for place, item in items]
        if None in parts:
            doubtful.add(slot.path)
        holder[str(slot.path[-1])] = parts if slot.several else parts[0]
    return filled, doubtful


def _list_written(values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], RecipeSlot, list[tuple[Keys, Any]]]]:
    """Yield each slot that something is written in: what holds it, the slot, and the items with their places."""
    for path, slot in SLOTS.items():
        holder: Any = values
        for key in path[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and (written := holder.get(path[-1])) is not None:
            listed = slot.several and isinstance(written, list)
            yield holder, slot, [((*path, i), item) for i, item in enumerate(written)] if listed else [(path, written)]


def _fill_held_out(filled: dict[str, Any], doubtful: set[Keys], mistakes: MistakeList) -> None:
    """Let `evaluate:` without data measure on what the one reader of `data` holds out."""
    evaluate, readers = filled.get("evaluate"), filled.get("data")
    if not isinstance(evaluate, dict) or evaluate.get("data") is not None or ("data",) in doubtful:
        return
    held_out = [held for reader in readers or () if (held := reader.held_out()) is not None]
    if len(held_out) == 1:
        evaluate["data"] = held_out[0]
    else:
        why = f"{len(held_out)} readers hold cases out" if held_out else "no reader of 'data:' holds cases out"
        mistakes.add(("evaluate",), f"'data' is missing: say what to measure on, since {why} by a `split`")
        doubtful.add(("evaluate", "data"))


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    """Return the mappings within mappings anew, since slots in them are filled."""
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in values.items()}


def _make_part(
    kind: Kind, path: Keys, item: Any, mistakes: MistakeList, plugins: dict[type[Part], PluginInfo]
) -> Part | None:
    """Make the part that a slot names, or note what is wrong with it."""
    if not isinstance(item, dict) or not isinstance(item.get("use"), str):
        mistakes.add(path, f"a {kind} is written {{use: NAME, option: value, ...}}")
        return None
    try:
        plugin = resolve_part(kind, item["use"])
        cls = load_part(plugin)
    except LookupError as error:
        mistakes.add((*path, "use"), str(error))
        return None
    except PluginError as error:
        mistakes.plugin_errors.append(f"{mistakes.tree.place((*path, 'use'))}: {error}")
        return None
    plugins[cls] = plugin
    try:
        options = drop_nulls({key: value for key, value in item.items() if key != "use"}, cls)
        return make_part(plugin, cls, options)
    except ValidationError as error:
        for place, message, of_key in _explain(error, path, cls):
            mistakes.add(place, message, of_key=of_key)
    except PluginError as error:
        mistakes.plugin_errors.append(f"{mistakes.tree.place((*path, 'use'))}: {error}")
    return None


def _validate_core(filled: dict[str, Any], doubtful: set[Keys], mistakes: MistakeList) -> Recipe | None:
    """Validate the framework's own keys; a slot already reported is not reported again."""
    try:
        return Recipe.model_validate(filled)
    except ValidationError as error:
        for place, message, of_key in _explain(error, (), Recipe, doubtful):
            mistakes.add(place, message, of_key=of_key)
        return None


def _explain(
    error: ValidationError, path: Keys, model: type[BaseModel], told: Collection[Keys] = ()
) -> Iterator[tuple[Keys, str, bool]]:
    """Turn pydantic's errors into (place, message, whether the key is meant), but those at places already `told`."""
    for item in error.errors(include_url=False):
        place: Keys = (*path, *item["loc"])
        if any(place[: len(known)] == known for known in told):
            continue
        name = str(item["loc"][-1]) if item["loc"] else model.__name__
        if item["type"] == "extra_forbidden":
            yield place, f"unknown option {name!r}; {suggest_word(name, _list_options(model, item['loc'][:-1]))}", True
        elif item["type"] == "missing":
            yield place[:-1], f"{name!r} is missing", False
        else:
            why = " ".join(item["msg"].removeprefix("Value error, ").split())
            yield place, f"{name}: {why}{_quote_value(name, item['input'])}", False


def _quote_value(name: str, value: Any) -> str:
    """Repeat what was written, unless it may be a key itself, which stands at `key_from` by mistake."""
    if not isinstance(value, str | int | float | bool) or name == "key_from":
        return ""
    text = repr(value)
    return f" (given: {text if len(text) <= 80 else text[:80] + '...'})"


def _list_options(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """List the options of a model, or of the model nested in it at `path`."""
    for key in path:
        nested = model.model_fields.get(str(key))
        inner = find_models(nested.annotation) if nested else []
        if inner:
            model = inner[0]
    return ["use", *model.model_fields] if issubclass(model, Part) else list(model.model_fields)
