"""Methods are named as people name them: by folder, by comma, by a name of their own, or by the folder of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from measured_runs import make_run, some_right

from mmedpo.errors import DataError, RecipeError
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.evaluate.methods.names import list_methods, name_methods
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_files.measures import VariantTable
from mmedpo.store.run_files.reader import read_run


def put(folder: Path, seed: int = 0) -> Path:
    run = make_run(folder, some_right(0.5, seed), some_right(0.4, 9))
    write_file(run, read_run(run).run.model_copy(update={"seed": seed}))
    return run


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a recipe with two variants and two seeds."""
    place = tmp_path_factory.mktemp("variants")
    for name in ("sft", "best"):
        for seed in (9, 10):
            put(place / f"{name}-{seed}", seed)
    rows = tuple({"method": name} for name in ("start", "sft", "best"))
    write_file(place, VariantTable(against_start=rows, against_first=(), overlap=()))
    return place


def test_a_folder_stands_for_all_its_methods_in_the_order_of_the_recipe(variants: Path) -> None:
    runs = {name: (variants / f"{name}-10", variants / f"{name}-9") for name in ("sft", "best")}
    assert name_methods([str(variants)]) == runs
    assert list(name_methods([str(variants)])) == ["sft", "best"]
    assert {row["runs"] for row in compare_runs(runs)} == {2}


def test_runs_of_several_seeds_go_by_what_their_names_have_in_common(variants: Path) -> None:
    text = f"{variants}/sft-9,{variants}/sft-10"
    assert list(name_methods([text, f"mine={text}", f"{variants}/best-9", f"x={variants}/best-9"])) == [
        *("sft", "mine", "best-9", "x")
    ]
    assert list(name_methods([f"{variants}/sft-9,{variants}/best-9"])) == ["sft-9, best-9"]
    assert list(name_methods([text, text])) == [f"{variants}/sft (1)", f"{variants}/sft (2)"]
    with pytest.raises(RecipeError, match="holds 2 methods, and 'mine' is to be one: sft, best"):
        name_methods([f"mine={variants}"])


def test_a_study_of_bases_and_seeds_is_found_by_the_names_of_its_methods(tmp_path: Path) -> None:
    places = [tmp_path / f"base-{base}/seed-{seed}" for base in range(2) for seed in range(2)]
    for place in places:
        put(place / "best", int(place.name[-1]))
    of_best = tuple(place / "best" for place in places)
    assert list_methods([str(tmp_path), f"mine={tmp_path}"]) == [("best", of_best), ("mine", of_best)]
    put(places[0] / "sft")
    found = name_methods([str(tmp_path)])
    assert list(found) == ["best", "sft"]
    with pytest.raises(DataError, match="there are 4 and 1"):
        compare_runs(found)


def test_a_variant_whose_name_ends_like_a_seed_is_none(tmp_path: Path) -> None:
    put(tmp_path / "step")
    put(tmp_path / "step-0")
    assert list(name_methods([str(tmp_path)])) == ["step", "step-0"]


def test_runs_of_one_seed_stand_at_one_place(variants: Path) -> None:
    a, b = ([variants / f"{name}-{seed}" for seed in seeds] for name, seeds in (("sft", (9, 10)), ("best", (10, 9))))
    with pytest.raises(DataError, match=r"sft-9 and .*best-10: are not of one base and seed"):
        compare_runs({"sft": a, "best": b})
    compare_runs({"sft": a[:1], "best": b[:1]})
