"""Read a recipe: one YAML file, with overrides, into parts and options; all mistakes are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from mmedpo import yaml12
from mmedpo.errors import MmedpoError, PluginError, RecipeError
from mmedpo.parts import (
    Backbone,
    Dispreference,
    Localizer,
    Metric,
    Observer,
    Part,
    Reader,
    Scorer,
    Weighting,
)
from mmedpo.plugins import Found, load, resolve, shortest_use, suggest
from mmedpo.spending import Budget
from mmedpo.training_options import TrainOptions
from mmedpo.yaml12 import Keys, Tree


class Section(BaseModel):
    """A part of the recipe that belongs to the framework."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class EvaluateOptions(Section):
    """What is measured before and after."""

    data: InstanceOf[Reader]
    """The reader of the cases to answer; never those trained on."""
    measure: Annotated[list[InstanceOf[Metric]], Field(min_length=1)]
    """The metrics."""
    probe: list[InstanceOf[Dispreference]] = []
    """Image dispreferences that change the films, to see which answers change with them."""
    attention: int = Field(default=0, ge=0)
    """On how many cases with a region to see where the model looks while it answers; 0: on none."""
    max_new_tokens: int = Field(default=64, ge=1)
    """The longest answer, in tokens."""
    strict_split: bool = False
    """Whether to refuse, before anything is made or trained, when an image of these cases is also in the training data;
    by default such images are counted and named under every table."""


class DetectorOptions(Section):
    """What a localizer learns from while its checkpoint is missing; no image may be in two of these."""

    train: InstanceOf[Reader]
    """The reader of the cases with boxes or masks to learn from."""
    validation: InstanceOf[Reader]
    """The reader of the cases that its threshold and its best step are chosen by."""
    test: InstanceOf[Reader] | None = None
    """The reader of the cases that it is measured on at the end; they decide nothing."""


class Recipe(Section):
    """What to do, resolved: every part an instance, every option with its value."""

    output: Path
    """The run folder."""
    journal: Path | None = None
    """The journal's file; by default journal.sqlite beside the run folder, shared by its neighbours."""
    seed: int = Field(default=0, ge=0)
    """All randomness of the run derives from it."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """auto, cpu, mps, cuda or cuda:N; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto is bfloat16 on a GPU that has it, float32 elsewhere."""
    allow_remote: list[str] = []
    """The hosts, besides this machine, that restricted data may be sent to; a private address counts as remote."""
    budget: Budget | None = None
    """What endpoints may be paid at most; without it, what is spent is only noted."""
    data: InstanceOf[Reader]
    """The reader of the cases, or of ready pairs."""
    backbone: InstanceOf[Backbone]
    """The model to align."""
    localize: list[InstanceOf[Localizer]] = []
    """Who finds the lesions, one or several; without it, the regions are those the data come with."""
    localized: Literal["union", "agreed"] = "union"
    """Of several localizers: all their regions, or those that at least two of them agree on."""
    detector: DetectorOptions | None = None
    """What the localizer learns from, while its checkpoint is missing."""
    disprefer: list[InstanceOf[Dispreference]] = []
    """Who makes the rejected sides, in order; not needed when the data are pairs."""
    score: list[InstanceOf[Scorer]] = []
    """Who rates clinical relevance; one scorer a pair kind."""
    unrated: Literal["drop", "keep"] = "drop"
    """What becomes of a pair that nobody rated: drop it, or keep it at weight 1 (or at the weight it came with)."""
    weigh: InstanceOf[Weighting]
    """Who makes weights of the relevances."""
    train: TrainOptions | None = None
    """How to train; without it the run ends with the pairs."""
    evaluate: EvaluateOptions | None = None
    """What to measure before and after."""
    observe: list[InstanceOf[Observer]] = []
    """Who else watches the run."""


SLOTS: dict[Keys, str] = {  # where a recipe names parts, and of which kind
    ("data",): "reader",
    ("backbone",): "backbone",
    ("localize",): "localizer",
    ("disprefer",): "dispreference",
    ("score",): "scorer",
    ("weigh",): "weighting",
    ("detector", "train"): "reader",
    ("detector", "validation"): "reader",
    ("detector", "test"): "reader",
    ("evaluate", "data"): "reader",
    ("evaluate", "measure"): "metric",
    ("evaluate", "probe"): "dispreference",
    ("observe",): "observer",
}
LISTS: set[Keys] = {
    ("localize",),
    ("disprefer",),
    ("score",),
    ("observe",),
    ("evaluate", "measure"),
    ("evaluate", "probe"),
}
HOLDERS = {path[0] for path in SLOTS if len(path) > 1}  # sections with slots in them
PLAN = ("variants", "seeds")  # keys of a recipe of several runs; no single run has them
DEFAULTS = {"weigh": {"use": "clinical"}}


@dataclass
class Loaded:
    """A checked recipe, and where its parts come from."""

    recipe: Recipe
    found: dict[type[Part], Found]
    values: dict[str, Any]  # as written, overrides applied
    name: str


@dataclass
class _Mistakes:
    """The mistakes found so far, each with its place."""

    tree: Tree
    messages: list[str] = field(default_factory=list)
    plugin_errors: list[str] = field(default_factory=list)

    def add(self, path: Keys, message: str, *, of_key: bool = False) -> None:
        self.messages.append(f"{self.tree.place(path, of_key=of_key)}: {message}")


def load_recipe(path: Path, overrides: Sequence[str] = (), variant: Variant | None = None) -> Loaded:
    """Read and check a recipe, or one of its variants.

    Raises RecipeError (or PluginError) that lists every mistake, a line each.
    """
    tree = _read(path)
    mistakes = _Mistakes(tree, list(dict.fromkeys(tree.repeated)))
    if variant is not None:
        for key, value in variant.changes.items():
            _set(key, value, tree.place(("variants", variant.name, key)), tree, mistakes)
    for key in PLAN:
        tree.values.pop(key, None)
    for text in overrides:
        if not _plans(text):
            _override(text, tree, mistakes)
    values = {**DEFAULTS, **tree.values}
    found: dict[type[Part], Found] = {}
    filled, doubtful = _fill_slots(values, mistakes, found)
    recipe = _validate_core(filled, doubtful, mistakes)
    if recipe is not None:
        for place, message in _contradictions(recipe):
            mistakes.add(place, message)
    if mistakes.messages:
        raise RecipeError("\n".join([*mistakes.messages, *mistakes.plugin_errors]))
    if mistakes.plugin_errors:
        raise PluginError("\n".join(mistakes.plugin_errors))
    assert recipe is not None
    return Loaded(recipe, found, values, str(path))


def _read(path: Path) -> Tree:
    tree = yaml12.read(path)
    if not isinstance(tree.values, dict):
        raise RecipeError(f"{tree.place(())}: a recipe is a mapping that starts with 'output:' or 'data:'")
    return tree


@dataclass(frozen=True)
class Variant:
    """One way to carry out a recipe: a name, and what it changes."""

    name: str
    changes: dict[str, Any]  # dotted key -> value, as on the command line


def _plans(override: str) -> bool:
    """Tell whether an override is about which variants and seeds there are."""
    return override.partition("=")[0].split(".")[0] in PLAN


def load_variants(path: Path, overrides: Sequence[str] = ()) -> tuple[list[Variant], list[int]]:
    """Return a recipe's variants, in order, and its seeds. Raises RecipeError for those that are none."""
    tree = _read(path)
    mistakes = _Mistakes(tree)
    for text in overrides:
        if _plans(text):
            _override(text, tree, mistakes)
    if mistakes.messages:
        raise RecipeError("\n".join(mistakes.messages))
    written, seeds = tree.values.get("variants") or {}, tree.values.get("seeds") or []
    if not isinstance(written, dict) or not all(isinstance(item, dict | None) for item in written.values()):
        raise RecipeError(f"{tree.place(('variants',))}: variants are written {{NAME: {{key.key: value}}, ...}}")
    for name in written:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
            raise RecipeError(
                f"{tree.place(('variants', name))}: {name!r} names a folder; use letters, digits, . _ + -"
            )
    if not isinstance(seeds, list) or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise RecipeError(f"{tree.place(('seeds',))}: seeds are a list of whole numbers, for example [0, 1, 2]")
    return [Variant(name, dict(changes or {})) for name, changes in written.items()], seeds


def _override(text: str, tree: Tree, mistakes: _Mistakes) -> None:
    """Apply `key.key=value`; the value is YAML, the place of what it sets is the command line."""
    here = f"command line: {text}"
    name, equals, value = text.partition("=")
    if not equals or not name:
        mistakes.messages.append(f"{here}: an override is written key=value, for example train.epochs=1")
        return
    try:
        parsed = yaml12.parse(value, here)
    except MmedpoError as error:
        mistakes.messages.append(str(error))
        return
    _set(name, parsed.values, here, tree, mistakes)


def _set(name: str, value: Any, here: str, tree: Tree, mistakes: _Mistakes) -> None:
    """Set what a dotted key names; from now on its place is `here`."""
    path: Keys = tuple(int(key) if key.isdecimal() else key for key in name.split("."))
    holder = tree.values
    for depth, key in enumerate(path[:-1]):
        holder = _descend(holder, key, create=isinstance(path[depth + 1], str))
    if isinstance(holder, list) and isinstance(path[-1], int) and path[-1] <= len(holder):
        holder[path[-1] : path[-1] + 1] = [value]  # the number after the last one adds an entry
    elif isinstance(holder, dict):
        holder[str(path[-1])] = value
    else:
        mistakes.messages.append(f"{here}: the recipe has nothing at {name!r} to set")
        return
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


def _fill_slots(
    values: dict[str, Any], mistakes: _Mistakes, found: dict[type[Part], Found]
) -> tuple[dict[str, Any], set[Keys]]:
    """Replace what the slots hold by parts; also return the slots whose parts could not be made."""
    filled = {
        key: dict(value) if key in HOLDERS and isinstance(value, dict) else value for key, value in values.items()
    }
    doubtful: set[Keys] = set()
    for path, kind in SLOTS.items():
        holder: Any = filled
        for key in path[:-1]:
            holder = holder.get(key)
        if not isinstance(holder, dict) or holder.get(path[-1]) is None:
            continue
        written = holder[path[-1]]
        several = path in LISTS and isinstance(written, list)
        items = [((*path, i), item) for i, item in enumerate(written)] if several else [(path, written)]
        parts = [_make_part(kind, place, item, mistakes, found) for place, item in items]
        if None in parts:
            doubtful.add(path)
        holder[path[-1]] = parts if path in LISTS else parts[0]
    return filled, doubtful


def _make_part(kind: str, path: Keys, item: Any, mistakes: _Mistakes, found: dict[type[Part], Found]) -> Part | None:
    """Make the part that a slot names, or note what is wrong with it."""
    if not isinstance(item, dict) or not isinstance(item.get("use"), str):
        mistakes.add(path, f"a {kind} is written {{use: NAME, option: value, ...}}")
        return None
    try:
        part = resolve(kind, item["use"])
        cls = load(part)
    except LookupError as error:
        mistakes.add((*path, "use"), str(error))
        return None
    except PluginError as error:
        mistakes.plugin_errors.append(f"{mistakes.tree.place((*path, 'use'))}: {error}")
        return None
    found[cls] = part
    options = {key: value for key, value in item.items() if key != "use"}
    try:
        return cls.model_validate(options)
    except ValidationError as error:
        for place, message, of_key in _explain(error, path, cls):
            mistakes.add(place, message, of_key=of_key)
        return None


def _validate_core(filled: dict[str, Any], doubtful: set[Keys], mistakes: _Mistakes) -> Recipe | None:
    """Validate the framework's own keys; a slot already reported is not reported again."""
    try:
        return Recipe.model_validate(filled)
    except ValidationError as error:
        for place, message, of_key in _explain(error, (), Recipe):
            if not any(place[: len(path)] == path for path in doubtful):
                mistakes.add(place, message, of_key=of_key)
        return None


def _explain(error: ValidationError, path: Keys, model: type[BaseModel]) -> Iterator[tuple[Keys, str, bool]]:
    """Turn pydantic's errors into (place, message, whether the key is meant)."""
    for item in error.errors(include_url=False):
        place: Keys = (*path, *item["loc"])
        name = str(item["loc"][-1]) if item["loc"] else model.__name__
        if item["type"] == "extra_forbidden":
            yield place, f"unknown option {name!r}; {suggest(name, _options(model, item['loc'][:-1]))}", True
        elif item["type"] == "missing":
            yield place[:-1], f"{name!r} is missing", False
        else:
            # What stands at key_from by mistake may be the key itself.
            shown = isinstance(item["input"], str | int | float | bool) and name != "key_from"
            given = f" (given: {item['input']!r})" if shown else ""
            yield place, f"{name}: {item['msg'].removeprefix('Value error, ')}{given}", False


def _options(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """List the options of a model, or of the model nested in it at `path`."""
    for key in path:
        nested = model.model_fields.get(str(key))
        inner = list(_models_in(nested.annotation)) if nested else []
        if inner:
            model = inner[0]
    return ["use", *model.model_fields] if issubclass(model, Part) else list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the pydantic models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _contradictions(recipe: Recipe) -> Iterator[tuple[Keys, str]]:
    """Find keys that are right alone and wrong together."""
    if recipe.budget is not None and recipe.budget.money is not None:
        from mmedpo.estimate import endpoints_in

        called = {endpoint.model for part in (*recipe.disprefer, *recipe.score) for endpoint in endpoints_in(part)}
        for model in sorted(called - recipe.budget.prices.keys()):
            yield (
                ("budget",),
                f"budget.money needs a price for {model!r}: prices: {{{model}: {{input: .., output: ..}}}}",
            )
    yield from _untaught(recipe)
    for index, probe in enumerate(recipe.evaluate.probe if recipe.evaluate else []):
        if probe.makes != "image" or probe.needs_backbone:
            yield ("evaluate", "probe", index), f"{probe.use!r} makes {probe.makes} pairs; a probe changes the image"
    rater: dict[str, str] = {}
    for index, scorer in enumerate(recipe.score):
        for kind in sorted(scorer.rates):
            if kind in rater:
                yield ("score", index), f"{kind} pairs are already rated by {rater[kind]!r}; one scorer a pair kind"
            rater[kind] = scorer.use
    for index, maker in enumerate(recipe.disprefer):
        if maker.makes not in rater and recipe.unrated == "drop":
            message = (
                f"nobody rates the {maker.makes} pairs of {maker.use!r}; add a scorer, or 'unrated: keep' (weight 1)"
            )
            yield ("disprefer", index), message


def _untaught(recipe: Recipe) -> Iterator[tuple[Keys, str]]:
    """Find a localizer that has learned nothing yet, and nothing to learn from."""
    learning = [part for part in recipe.localize if part.learnt]
    for index, part in enumerate(recipe.localize):
        if part.learnt and not part.learnt.exists() and recipe.detector is None:
            message = f"{part.learnt}: there is no such file; say in 'detector:' what {part.use!r} learns from"
            yield ("localize", index, "checkpoint"), message
    if recipe.detector and len(learning) != 1:
        yield ("detector",), f"'detector:' wants one localizer that learns; 'localize:' has {len(learning)}"


def as_written(loaded: Loaded) -> dict[str, Any]:
    """Return the resolved recipe as the plain values that a YAML file would hold, defaults included."""
    written: dict[str, Any] = _written(loaded.recipe, loaded.found)
    return written


def _written(value: Any, found: dict[type[Part], Found]) -> Any:
    if isinstance(value, BaseModel):
        use = {"use": shortest_use(found[type(value)])} if isinstance(value, Part) else {}
        return use | {name: _written(getattr(value, name), found) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(key): _written(item, found) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written(item, found) for item in value]
    return str(value) if isinstance(value, Path) else value
