"""Several ways to carry out one recipe, with several seeds; what they have in common is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmedpo.compare import compare
from mmedpo.errors import RecipeError, Submitted
from mmedpo.events import Event
from mmedpo.folder import write_json
from mmedpo.pipeline import Result, is_restricted, run
from mmedpo.private import private
from mmedpo.recipe import Loaded, Variant, load_recipe, load_variants

START = "start"  # in a variant: begin with the adapter of an earlier one, of the same seed
TABLE = "variants.json"


@dataclass(frozen=True)
class Planned:
    """One run to be: a variant and a seed."""

    variant: str
    seed: int
    loaded: Loaded
    start: Planned | None = None  # whose adapter it begins with


def plan(path: Path, overrides: Sequence[str] = ()) -> list[Planned]:
    """Check every variant with every seed and return the runs in order, all variants of a seed together.

    Raises RecipeError that lists the mistakes of all of them.
    """
    variants, seeds = load_variants(path, overrides)
    planned: list[Planned] = []
    mistakes: list[str] = []
    every: Sequence[int | None] = seeds or [None]
    for seed in every:
        there: dict[str, Planned] = {}
        for place, variant in enumerate(variants):
            try:
                loaded = _load(path, overrides, variant, seed, [one.name for one in variants[:place]])
            except RecipeError as error:
                mistakes += [f"variant {variant.name}: {line}" for line in str(error).split("\n")]
            else:
                start = there.get(variant.changes.get(START, ""))
                there[variant.name] = Planned(variant.name, loaded.recipe.seed, loaded, start)
        planned += there.values()
    if mistakes:
        raise RecipeError("\n".join(dict.fromkeys(mistakes)))
    return planned


def _load(path: Path, overrides: Sequence[str], variant: Variant, seed: int | None, earlier: Sequence[str]) -> Loaded:
    """Load one run: in a folder of its own, below the recipe's output."""
    changes = dict(variant.changes)
    start = changes.pop(START, None)
    if start is not None and start not in earlier:
        raise RecipeError(
            f"{path}: {START}: {start!r} is no earlier variant; there are: {', '.join(earlier) or 'none'}"
        )
    mine = [*overrides, *([] if seed is None else [f"seed={seed}"])]
    loaded = load_recipe(path, mine, replace(variant, changes=changes))
    output = loaded.recipe.output

    def place(name: str) -> Path:
        return output / (name if seed is None else f"{name}-{seed}")

    where = [f"output={place(variant.name)}"]
    if start is not None:
        where.append(f"backbone.adapter={place(start) / 'adapter'}")
    return load_recipe(path, [*mine, *where], replace(variant, changes=changes))


def run_variants(
    planned: Sequence[Planned],
    see: Callable[[Event], None],
    began: Callable[[Planned], None] = lambda one: None,
    *,
    until: str,
    limit: int | None = None,
) -> dict[str, list[Result]]:
    """Carry out the runs one after another; return the results by variant, in the order of the seeds.

    One that waits for a batch holds up none but those that start from it. Raises Submitted with a line for each run
    that waits when all others are done.
    """
    results: dict[str, list[Result]] = {}
    waiting: list[tuple[Planned, str]] = []
    for one in planned:
        if one.start and any(one.start is other for other, _ in waiting):
            waiting.append((one, f"waits for {one.start.variant}, whose adapter it starts from"))
            continue
        began(one)
        try:
            results.setdefault(one.variant, []).append(run(one.loaded, see, until=until, limit=limit))
        except Submitted as wait:
            waiting.append((one, "; ".join(wait.told)))
    if waiting:
        raise Submitted(*(f"{one.variant}, seed {one.seed}: {why}" for one, why in waiting))
    return results


def table(results: dict[str, list[Result]]) -> dict[str, list[dict[str, Any]]]:
    """Compare every variant with the starting model of the first, and with the first; write variants.json.

    Differences are paired by case and pooled over seeds. Empty when nothing was trained and measured.
    """
    page = next(iter(results.values()))[0].folder.parent / TABLE
    measured = {name: found for name, found in results.items() if found[0].measures.get("measures")}
    trained = {name: found for name, found in measured.items() if "after" in found[0].measures["measures"][0]}
    if not trained:
        page.unlink(missing_ok=True)  # of an earlier recipe
        return {}
    named = [",".join(str(result.folder) for result in found) for found in trained.values()]
    compared = {
        "against the start": list(_named(compare(named, start=True), list(trained))),
        "against the first": list(_named(compare(named), list(trained))) if len(named) > 1 else [],
        "overlap": [
            {"method": name, "run": str(result.folder), **result.measures["overlap"]}
            for name, found in trained.items()
            for result in found
        ],
    }
    with private(any(is_restricted(result.folder) for found in trained.values() for result in found)):
        write_json(page, compared)
    return compared


def _named(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Call each method by its variant's name instead of its folders."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    known = dict(zip(methods[-len(names) :], names, strict=True))
    for row in rows:
        yield {**row, "method": known.get(row["method"], row["method"])}
