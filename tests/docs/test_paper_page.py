"""The page about the paper's tables, the recipes for them and the published numbers say the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT, generated
from variant_factors import require_factors

from mmedpo.evaluate.published_numbers import PublishedSet, load_published
from mmedpo.recipe.document.yaml import read_yaml
from mmedpo.recipe.planning import PlannedRun, plan_runs

PAGE = ROOT / "docs" / "guides" / "paper.md"
RECIPES = {path.stem: path for path in sorted((ROOT / "examples" / "paper").glob("*.yaml"))}
PAPER = load_published("paper")
COLUMNS = {"open": "open", "closed": "closed", "bleu": "BLEU", "rouge-l": "ROUGE-L", "meteor": "METEOR"}
PRINTED_AS = {
    "dpo": "stage 1 without scores",
    "stage-1": "stage 1 with scores; several Med-LLMs",
    "stage-1-one-voter": "one Med-LLM",
    "stage-2-uniform": "stage 2 without scores",
    "stage-2": "stage 2 with scores; local noise",
    "stage-2-global-noise": "global noise",
}
HOURS = 4 * 3  # four GPUs for three hours at most, as published of a training
DPO = {"pairs": "text", "scorers": "none", "unrated": "kept", "weights": "equal"}
FACTORS: dict[str, dict[str, str]] = {
    "mmedpo": {},
    "dpo": DPO,
    "sft-dpo": {"start": "sft", **DPO},
    "sft-mmedpo": {"start": "sft"},
    "stage-1": {"pairs": "text", "scorers": "of text"},
    "stage-2": {"pairs": "image", "scorers": "of image"},
    "stage-2-uniform": {"pairs": "image", "scorers": "of image", "weights": "equal"},
    "stage-2-global-noise": {"pairs": "image, noised all over", "scorers": "of image"},
    "stage-1-one-voter": {"pairs": "text", "scorers": "of text, one voter"},
    "uniform": {"weights": "equal"},
    "plus-mmedpo": {"backbone": "LLaVA-Med++"},
    "plus-dpo": {"backbone": "LLaVA-Med++", **DPO},
}
PLACES = {
    "pairs": ("disprefer", "localize"),
    "scorers": ("score",),
    "unrated": ("unrated",),
    "weights": ("weigh",),
    "start": ("backbone.adapter",),
    "backbone": ("backbone.checkpoint",),
}


def test_the_page_has_what_is_printed_and_what_it_takes() -> None:
    text = PAGE.read_text()
    parts = {"table 1": table_1(), "ablations": ablations(), "contradictions": contradictions(), "hours": hours()}
    for name, lines in parts.items():
        start = text.index(mark := f"<!-- {name} -->\n") + len(mark)
        text = text[:start] + "\n".join(lines) + "\n" + text[text.index("<!-- end -->", start) :]
    generated(PAGE, text)


def table_1() -> Iterator[str]:
    columns = [f"{one.name} {COLUMNS[column]}" for one in PAPER.sets.values() for column in one.columns]
    yield f"| variant | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for variant in next(iter(PAPER.sets.values())).rows:
        numbers = [f"{number:.2f}" for one in PAPER.sets.values() for number in one.rows[variant]]
        yield f"| `{variant}` | {' | '.join(numbers)} |"


def ablations() -> Iterator[str]:
    yield f"| variant | printed as | {' | '.join(one.name for one in PAPER.sets.values())} |"
    yield "|---" * (len(PAPER.sets) + 2) + "|"
    for variant, told in PRINTED_AS.items():
        cells = [" and ".join(f"{number:.2f}" for number in one.ablations[variant]) for one in PAPER.sets.values()]
        yield f"| `{variant}` | {told} | {' | '.join(cells)} |"


def contradictions() -> Iterator[str]:
    for one in PAPER.sets.values():
        yield from (f"- {told}." for told in [*one.contradictions(one.ablations), *one.remarks])


def hours() -> Iterator[str]:
    yield "| recipe | trainings of Table 1 | GPU hours at most | trainings of all variants | GPU hours at most |"
    yield "|---|---|---|---|---|"
    for name, path in RECIPES.items():
        planned = plan_runs(path)
        of_table = [one for one in planned if one.variant in {*set_of(planned[0]).rows, "povid-1"}]
        counts = [count_trainings(of_table), count_trainings(planned)]
        yield f"| `{name}` | " + " | ".join(f"{count} | {count * HOURS:,}" for count in counts) + " |"


def count_trainings(planned: list[PlannedRun]) -> int:
    trained = [one.loaded.recipe for one in planned if one.loaded.recipe.train]
    return sum(recipe.rounds.count if recipe.rounds else 1 for recipe in trained)


def set_of(one: PlannedRun) -> PublishedSet:
    assert one.loaded.recipe.evaluate
    return PAPER.sets[one.loaded.recipe.evaluate.data.use]


def test_there_is_a_recipe_for_each_set_and_in_it_a_variant_for_each_row_and_each_ablation() -> None:
    for path in RECIPES.values():
        planned = plan_runs(path)
        found = set_of(planned[0])
        assert {*found.rows, *found.ablations} <= {one.variant for one in planned}
        assert {one.seed for one in planned} == {0, 1, 2}
    assert len(RECIPES) == len(PAPER.sets)
    assert all(f"`{one.variant}`" in PAGE.read_text() for one in plan_runs(RECIPES["slake"]))


@pytest.mark.parametrize("name", RECIPES)
def test_two_ablations_differ_in_the_keys_that_their_names_say(name: str) -> None:
    require_factors(RECIPES[name], FACTORS, PLACES)


def test_the_recipes_differ_in_data_and_measures_and_in_who_answers_for_restricted_films() -> None:
    read = {name: read_yaml(path).values for name, path in RECIPES.items()}
    rest = {name: without_endpoints(recipe) for name, recipe in read.items()}
    rest["slake"]["variants"].pop("boxes")
    own = {(name, key): recipe.pop(key) for name, recipe in rest.items() for key in ("output", "data", "evaluate")}
    assert all(recipe == rest["slake"] for recipe in rest.values())
    assert {own[name, "output"] for name in rest} == {f"runs/paper/{name}" for name in rest}


def without_endpoints(value: Any) -> Any:
    """Return a recipe without the model and the address of what answers in GPT-4o's place."""
    if isinstance(value, list):
        return [without_endpoints(item) for item in value]
    if not isinstance(value, dict):
        return value
    asked = value.get("use") in ("gpt4o-hallucination", "stllava-med")
    return {key: without_endpoints(item) for key, item in value.items() if not (asked and key in ("model", "base_url"))}


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_variant_is_the_method_as_printed(name: str) -> None:
    first = plan_runs(RECIPES[name])[0]
    recipe = first.loaded.recipe
    assert first.variant == "mmedpo"
    assert recipe.train
    train = recipe.train
    assert (train.epochs, train.learning_rate, train.batch_size, train.beta) == (3, 1e-7, 4, 0.1)
    assert (train.lora.r, train.lora.alpha) == (128, 256)
    assert train.projector
    assert train.projector.learning_rate == 2e-5
    assert [(loss.use, loss.coefficient, loss.pairs) for loss in train.loss] == [("sigmoid", 1, "all")]
    assert (train.pairs.text, train.pairs.image, recipe.weigh.use) == (1, 1, "clinical")
    assert [(maker.use, getattr(maker, "form", "")) for maker in recipe.disprefer] == [
        ("gpt4o-hallucination", "paper"),
        ("lesion-noise", ""),
    ]
