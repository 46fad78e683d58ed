"""Recipes that went wrong in the writing: each is a recipe or one error of lines, soon, and says what it says.

Mutations of the examples, as text and as values.
"""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fuzzing import TIMES, fuzz
from hypothesis import given
from hypothesis import strategies as st

from mmedpo.errors import DataError, PluginError, RecipeError
from mmedpo.recipe.document.yaml import read_yaml
from mmedpo.recipe.loading import load_recipe, reload_recipe
from mmedpo.recipe.model import LoadedRecipe, dump_recipe
from mmedpo.recipe.planning import plan_runs
from mmedpo.recipe.preflight import list_notes, require_ready

EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples/studies").glob("*.yaml")])
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES}
VALUES = {path.name: read_yaml(path).values for path in EXAMPLES}
PIECES = [
    *'[]{}:,&*!|>%@`"\'#-?~\t\n\r', " ", "  ", "\n  ", "- ", ": ", "&a ", "*a", "!!int ", "!!float x", "!x ", "<<: *a",
    "---\n", "...\n", ".nan", ".inf", "1e999", "0x", "_", "9" * 5000, "[" * 500, "{a: " * 200, "- " * 200,
    "\x00", "\x1b[2J", "\u2028", "\ufeff", "é", "null", "~", "~/x", "$HOME/x", "../..", "use: ", "x" * 3000,
]  # fmt: skip
NASTY = [
    None, True, False, 0, -1, 1, 2**31, 2**32, 10**30, 1e308, -0.5, 0.5, "", " ", ".", "..", "/", "~", "~/x", "~x/y",
    "$HOME", "${X}/y", "\x1b[31m", "a\nb", "a\0b", "x" * 5000, "é", "ü/ö", "no", "1e-3", "phantom", "annotated", [], {},
    [[]], [None], [1, 2], {"use": None}, {"use": 5}, {"use": "phantom"}, {"use": "mmedpo/phantom"}, {"use": "a/b/c"},
    {"use": "pairs", "root": "."}, {"use": "lesion-noise", "pairs": "flipped"}, {"": ""}, {"a": {"b": {"c": 1}}},
    [{"use": "blank"}] * 3, {"calls": 1}, [{"use": "med-llm-vote", "voters": [{"kind": "openai"}]}],
]  # fmt: skip


@st.composite
def mutated_texts(draw: st.DrawFn) -> str:
    text = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.sampled_from([0, 0, 1, 2, 10, 80]))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.just(text[at : at + length] * 2)))
        text = text[:at] + piece + text[at + length :]
    return text


@st.composite
def mutated_values(draw: st.DrawFn) -> Any:
    values = deepcopy(VALUES[draw(st.sampled_from(sorted(VALUES)))])
    for _ in range(draw(st.integers(1, 3))):
        holder = draw(st.sampled_from(list(_holders(values))))
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys)) if keys else None
        value = deepcopy(draw(st.sampled_from(NASTY)))
        if isinstance(holder, list):
            holder[slice(key, key) if key is None else slice(key, key + 1)] = [value]
        else:
            holder[key if key is not None and draw(st.booleans()) else draw(st.sampled_from(WORDS))] = value
    return values


WORDS = [
    "output", "journal", "seed", "data", "backbone", "localize", "localized", "detector", "disprefer", "score", "weigh",
    "train", "evaluate", "observe", "budget", "allow_remote", "unrated", "variants", "seeds", "device", "use", "start",
    "adapter", "checkpoint", "root", "", "x.y", "0",
]  # fmt: skip


def _holders(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _holders(item)


def judge(path: Path, overrides: list[str]) -> list[LoadedRecipe]:
    """Check a recipe as the command does; return what it is, or nothing where it is refused in lines."""
    try:
        planned = [one.loaded for one in plan_runs(path, overrides)] or [load_recipe(path, overrides)]
    except (RecipeError, PluginError) as error:
        require_lines(str(error))
        return []
    for loaded in planned[:3]:
        list(list_notes(loaded))
        with suppress(RecipeError, DataError):
            require_ready(loaded)
    return planned


def require_lines(message: str) -> None:
    """Require that an error is lines that a person can read."""
    for line in message.split("\n"):
        assert 0 < len(line) < 2000


def says_what_it_says(loaded: LoadedRecipe, folder: Path) -> None:
    """Require that a recipe, written with all its defaults and read again, is the same."""
    written = folder / "written.json"
    written.write_text(json.dumps(dump_recipe(loaded), allow_nan=False), encoding="utf-8")
    assert reload_recipe(written).recipe == loaded.recipe


@pytest.mark.timeout(180 * TIMES)
@fuzz(70)
@given(text=mutated_texts())
def test_a_recipe_with_slips_of_the_pen_is_read_or_refused_in_lines(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode())
    for loaded in judge(path, [])[:1]:
        says_what_it_says(loaded, tmp_path)


@pytest.mark.timeout(180 * TIMES)
@fuzz(70)
@given(values=mutated_values())
def test_a_recipe_with_odd_values_is_read_or_refused_in_lines(values: Any, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(values))
    for loaded in judge(path, [])[:1]:
        says_what_it_says(loaded, tmp_path)


@pytest.mark.timeout(180 * TIMES)
@fuzz(70)
@given(
    keys=st.lists(st.sampled_from([*WORDS, *"0123", "10000000000", "lora", "r", "loss", "measure"]), max_size=4),
    value=st.sampled_from([*PIECES, *[json.dumps(item) for item in NASTY]]),
)
def test_an_odd_override_is_taken_or_refused_in_lines(keys: list[str], value: str, tmp_path: Path) -> None:
    for loaded in judge(ROOT / "examples/quickstart.yaml", [f"{'.'.join(keys)}={value}"])[:1]:
        says_what_it_says(loaded, tmp_path)
