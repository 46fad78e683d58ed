"""Which runs a recipe is: one for each variant and seed, and of each as many rounds as it says.

A recipe is read once and each variant checked once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmedpo.errors import RecipeError
from mmedpo.recipe.checks import find_unused
from mmedpo.recipe.document.mistakes import join_messages
from mmedpo.recipe.document.yaml import YamlDocument
from mmedpo.recipe.loading import load_recipe, load_tree, read_recipe
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.recipe.variants import RecipeVariant, read_variants
from mmedpo.registry.discovery import suggest_word
from mmedpo.store.result_keys import adapter_of
from mmedpo.store.run_files.format import CASES, PAIRS
from mmedpo.store.run_files.measures import RoundTable, TrainingRecord
from mmedpo.store.run_files.record import RunRecord, RunRound
from mmedpo.store.run_files.rounds import find_result, round_folder

FOR_PAIRS = ("data", "localize", "localized", "detector", "disprefer", "score", "unrated", "train", "rounds")
MADE = (PAIRS, CASES, TrainingRecord.file, RoundTable.file)  # what a run leaves that makes pairs or trains
START = "start"  # in a variant: begin with the adapter of an earlier one, of the same seed


@dataclass(frozen=True)
class PlannedRun:
    """One run to be: a variant and a seed."""

    variant: str
    seed: int
    loaded: LoadedRecipe
    start: PlannedRun | None = None  # whose adapter it begins with


def plan_runs(path: Path, overrides: Sequence[str] = ()) -> list[PlannedRun]:
    """Check every variant and return the runs in order, all variants of a seed together; none without variants.

    Raises RecipeError that lists the mistakes of all of them.
    """
    source = read_recipe(path)
    variants, seeds = read_variants(source, overrides)
    every: Sequence[int | None] = seeds or [None]
    checked = _check_variants(source, path, overrides, variants)
    return [one for seed in every for one in _plan_seed(variants, checked, seed)]


def choose_runs(planned: Sequence[PlannedRun], names: Sequence[str]) -> list[PlannedRun]:
    """Return the runs of the variants that are named, and those whose adapters they begin with; all where none is.

    Raises RecipeError for a name that is no variant's.
    """
    there = list(dict.fromkeys(one.variant for one in planned))
    for name in names:
        if name not in there:
            what = suggest_word(name, there) if there else "the recipe has none"
            raise RecipeError(f"--variant: there is no variant {name!r}; {what}")
    wanted = {id(one) for run in planned if run.variant in names for one in _list_starts(run)}
    return [one for one in planned if id(one) in wanted or not names]


def _list_starts(run: PlannedRun) -> Iterator[PlannedRun]:
    """Yield a run, the one that it begins with, and so on."""
    yield run
    if run.start:
        yield from _list_starts(run.start)


def _check_variants(
    source: YamlDocument, path: Path, overrides: Sequence[str], variants: Sequence[RecipeVariant]
) -> dict[str, LoadedRecipe]:
    """Load each variant. What one of them alone does not use, another may; what none does is a mistake."""
    checked: dict[str, LoadedRecipe] = {}
    mistakes: list[str] = []
    for place, variant in enumerate(variants):
        changes = {key: value for key, value in variant.changes.items() if key != START}
        try:
            _require_earlier(source, variant, [one.name for one in variants[:place]])
            one = load_tree(source, str(path), overrides, replace(variant, changes=changes), all_used=False)
            checked[variant.name] = one
        except RecipeError as error:
            mistakes += [f"variant {variant.name}: {line}" for line in str(error).split("\n")]
    idle = [[f"{one.place(keys)}: {message}" for keys, message in find_unused(one)] for one in checked.values()]
    mistakes += [line for line in (idle[0] if idle else ()) if all(line in lines for lines in idle)]
    if mistakes:
        raise RecipeError(join_messages(mistakes))
    return checked


def _require_earlier(source: YamlDocument, variant: RecipeVariant, earlier: Sequence[str]) -> None:
    start = variant.changes.get(START)
    if start is not None and start not in earlier:
        place = source.place(("variants", variant.name, START))
        there = ", ".join(earlier) or "none"
        raise RecipeError(f"{place}: {START}: {start!r} is no earlier variant; there are: {there}")


def _plan_seed(
    variants: Sequence[RecipeVariant], checked: dict[str, LoadedRecipe], seed: int | None
) -> list[PlannedRun]:
    """Return a run of each variant, in a folder of its own below the recipe's output."""
    made: dict[str, PlannedRun] = {}
    for variant in variants:
        loaded, start = checked[variant.name], made.get(variant.changes.get(START) or "")
        recipe = loaded.recipe
        folder = variant.name if seed is None else f"{variant.name}-{seed}"
        changed = {"output": recipe.output / folder, "seed": recipe.seed if seed is None else seed}
        if start is not None:
            adapter = str(place_adapter(start.loaded, start.loaded.recipe.output))
            changed["backbone"] = recipe.backbone.model_copy(update={"adapter": adapter})
        own = replace(loaded, recipe=recipe.model_copy(update=changed))
        made[variant.name] = PlannedRun(variant.name, own.recipe.seed, own, start)
    return list(made.values())


def plan_measurement(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    variant: str | None = None,
    adapter: Path | None = None,
    out: Path | None = None,
) -> LoadedRecipe:
    """Return what measures a recipe's model, or that of a variant, in a folder of its own; it trains and makes nothing.

    With an adapter, or a run that has one, that is measured beside it. Raises RecipeError when the recipe does not say
    how to measure, and for a folder of pairs or of training.
    """
    loaded = _choose_variant(path, overrides, variant)
    recipe = loaded.recipe
    if recipe.evaluate is None:
        raise RecipeError(f"{path}: has no 'evaluate:', so nothing says what to measure")
    named = adapter.parent if adapter and adapter.name == "adapter" else adapter
    if adapter and (find_result(adapter) / RunRecord.file).exists():
        adapter = adapter_of(adapter)
    output = out or recipe.output.with_name(f"{recipe.output.name}-{named.name if named else 'base'}")
    if any((output / name).exists() for name in MADE):  # they would be set aside, an adapter that is measured as well
        raise RecipeError(f"{output}: has pairs or an adapter of a run in it; name another folder with -o")
    changed = {
        **{key: Recipe.model_fields[key].get_default() for key in FOR_PAIRS},
        "output": output,
        "evaluate": recipe.evaluate.model_copy(update={"adapter": adapter and str(adapter)}),
    }
    alone = replace(loaded, recipe=recipe.model_copy(update=changed))
    return replace(alone, plugins={type(part): loaded.plugins[type(part)] for _, part in alone.parts()})


def _choose_variant(path: Path, overrides: Sequence[str], variant: str | None) -> LoadedRecipe:
    """Return a recipe as it is, or the variant that is named; of several seeds, the first."""
    planned = plan_runs(path, overrides)
    if variant is None and not planned:
        return load_recipe(path, overrides)
    if variant is None:
        there = ", ".join(dict.fromkeys(one.variant for one in planned))
        raise RecipeError(f"{path}: has variants; say with --variant whose model to measure: {there}")
    return next(one.loaded for one in choose_runs(planned, [variant]) if one.variant == variant)


def place_adapter(loaded: LoadedRecipe, folder: Path) -> Path:
    """Return where the adapter of a run in a folder will be: of one in rounds, in the last."""
    rounds = loaded.recipe.rounds
    return (round_folder(folder, rounds.count) if rounds else folder) / "adapter"


def plan_rounds(loaded: LoadedRecipe, folder: Path) -> list[LoadedRecipe]:
    """Return the recipe of each round: in a folder of its own below the run's, with the adapter of the one before."""
    recipe, rounds = loaded.recipe, loaded.recipe.rounds
    assert rounds is not None
    planned: list[LoadedRecipe] = []
    for number in range(1, rounds.count + 1):
        start = recipe.backbone.adapter
        adapter = str(planned[-1].recipe.output / "adapter") if planned else start
        changed = {
            "output": round_folder(folder, number),
            "backbone": recipe.backbone.model_copy(update={"adapter": adapter}),
            "rounds": None,
        }
        one = RunRound(number=number, start=start, reference=rounds.reference)
        planned.append(replace(loaded, recipe=recipe.model_copy(update=changed), round=one))
    return planned
