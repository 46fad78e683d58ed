"""Whatever a recipe gives for the options of a built-in part, it is taken or refused in lines with its place."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fuzzing import TIMES, fuzz
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_recipes import NASTY, VALUES, judge, says_what_it_says

from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.kinds import KINDS

PLACES: dict[str, tuple[str, ...]] = {
    "reader": ("data",),
    "backbone": ("backbone",),
    "localizer": ("localize",),
    "dispreference": ("disprefer", "0"),
    "scorer": ("score", "0"),
    "weighting": ("weigh",),
    "loss": ("train", "loss", "0"),
    "metric": ("evaluate", "measure", "0"),
}
PARTS = [
    (kind, part.name, sorted(load_part(part).model_fields))
    for kind in PLACES
    for part in find_parts(KINDS[kind])
    if part.package == "mmedpo"
]
SOUND = ["train", "test", "all", "0", 1, 2, 0.1, True, ".", "examples", {"test": 0.5}, ["a", "b"], {"a": "b"}]
value = st.one_of(st.sampled_from(NASTY), st.sampled_from(SOUND), st.integers(), st.floats(), st.text(max_size=5))


@st.composite
def recipes(draw: st.DrawFn) -> Any:
    """Draw the quickstart with one part in place of its own, and a few of that part's options."""
    values = deepcopy(VALUES["quickstart.yaml"])
    kind, use, names = draw(st.sampled_from(PARTS))
    options = draw(st.dictionaries(st.sampled_from(names), value, max_size=3)) if names else {}
    holder: Any = values
    *way, last = [int(step) if step.isdigit() else step for step in PLACES[kind]]
    for step in way:
        holder = holder[step]
    holder[last] = {**options, "use": use}
    return values


@pytest.mark.timeout(180 * TIMES)
@fuzz(60)
@given(values=recipes())
def test_odd_options_of_a_part_are_taken_or_refused_in_lines(values: Any, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(values))
    for loaded in judge(path, [])[:1]:
        says_what_it_says(loaded, tmp_path)
