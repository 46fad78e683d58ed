"""Where the model looks: which cases are chosen, and what share of a map lies inside the lesion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Mmedpo
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, Region
from mmedpo.evaluate.lesion_attention import LesionAttentionMetric, choose_cases, lesions_of, share_inside
from mmedpo.models import ImageAttention
from mmedpo.testing import tiny_cases

RECIPE = """\
output: out
data: {use: phantom, images: 4}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}]
unrated: keep
train: {epochs: 1, learning_rate: 1e-3, lora: {r: 4, alpha: 8}}
evaluate:
  data: {use: phantom, split: test, images: 8, closed_questions: 2, reports: 0}
  measure: [{use: med-vqa}]
  attention: 6
  max_new_tokens: 6
"""


def case(*regions: Region, about: tuple[str, ...] = ("nodule",)) -> Case:
    return replace(tiny_cases(1)[0], regions=regions, about=about)


def quarter(label: str = "nodule") -> Region:
    return Region(label, (0.0, 0.0, 28.0, 28.0))


def looks(*rows: list[float], beside: float = 0.0) -> ImageAttention:
    """Return where a model looks that is shown the whole image, and nothing beside it."""
    heat = np.array(rows)
    return ImageAttention(heat, np.full(heat.shape, 1 / heat.size), beside)


def test_the_lesion_is_what_the_question_is_about_or_all_there_is() -> None:
    nodule, effusion = quarter(), quarter("effusion")
    assert lesions_of(case(nodule, effusion)) == (nodule,)
    assert lesions_of(case(effusion)) == ()
    assert lesions_of(case(nodule, effusion, about=())) == (nodule, effusion)


def test_which_cases_are_looked_at_does_not_depend_on_their_order() -> None:
    cases = [*tiny_cases(9), replace(case(), id="without")]
    some = {cases[place].id for place in choose_cases(cases, 4, seed=0)}
    turned = cases[::-1]
    assert {turned[place].id for place in choose_cases(turned, 4, seed=0)} == some
    assert len(some) == 4
    assert {cases[place].id for place in choose_cases(cases, 4, seed=1)} != some
    assert choose_cases(cases, 99, seed=0) == list(range(9))


def test_the_share_inside_is_held_against_the_share_of_the_area() -> None:
    assert share_inside(looks([3.0, 1.0], [0.0, 0.0]), case(quarter())) == {"inside": 0.75, "chance": 0.25, "beside": 0}
    even = share_inside(looks([1.0, 1.0], [1.0, 1.0]), case(quarter()))
    assert even["inside"] == even["chance"]


def test_what_falls_beside_the_image_is_not_inside() -> None:
    shares = share_inside(looks([3.0, 1.0], [0.0, 0.0], beside=4.0), case(quarter()))
    assert (shares["inside"], shares["beside"]) == (0.375, 0.5)


def test_boxes_that_overlap_count_once_and_a_mask_counts_in_place_of_its_box() -> None:
    assert share_inside(looks([1.0]), case(quarter(), quarter()))["inside"] == pytest.approx(0.25, abs=0.01)
    mask = Image.new("L", (56, 56))
    ImageDraw.Draw(mask).rectangle((0, 0, 13, 27), fill=255)
    half = replace(quarter(), mask=ImageRef.drawn(mask))
    assert share_inside(looks([1.0]), case(half))["inside"] == pytest.approx(0.125, abs=0.01)


def test_an_empty_map_says_nothing() -> None:
    assert share_inside(looks([0.0, 0.0]), case(quarter())) == {}
    assert LesionAttentionMetric().combine([{}, {}]) == {}


def test_the_measures_are_means_over_the_cases_that_were_looked_at() -> None:
    rows = [{"inside": 0.6, "chance": 0.2, "beside": 0.1}, {}, {"inside": 0.2, "chance": 0.2, "beside": 0.3}]
    expected = {"inside_lesion": 0.4, "inside_by_chance": 0.2, "beside_image": 0.2, "attention_count": 2.0}
    assert LesionAttentionMetric().combine(rows) == pytest.approx(expected)


@pytest.mark.slow
def test_a_run_looks_before_and_after_and_knows_it_the_next_time(mmedpo: Mmedpo, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = mmedpo("run", "recipe.yaml", "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["measures"]["measures"][1]
    assert measured["use"] == "attention"
    assert measured["before"]["attention_count"] == measured["after"]["attention_count"] == 6
    assert measured["before"]["inside_lesion"] > measured["before"]["inside_by_chance"]
    assert {"value", "low", "high"} <= measured["difference"]["inside_lesion"].keys()
    lines = [json.loads(line) for line in (tmp_path / "out/attention.jsonl").read_text().splitlines()]
    assert [len(line["before"]["map"]) for line in lines] == [7] * 6
    assert json.loads(mmedpo("run", "recipe.yaml", "--json").stdout)["did"] is False
    mmedpo("run", "recipe.yaml", "evaluate.attention=0")
    assert not (tmp_path / "out/attention.jsonl").exists()


def test_attention_is_a_number_of_cases(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = CliRunner().invoke(app, ["check", str(tmp_path / "recipe.yaml"), "evaluate.attention=-1"])
    assert done.exit_code == 2
    assert "evaluate.attention=-1: attention: Input should be greater than or equal to 0" in done.stderr
