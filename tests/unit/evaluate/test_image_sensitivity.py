"""Does the model look: the answers that change when the film does, before and after, by probe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Mmedpo
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import LesionNoise
from mmedpo_plugins.dispreferences.other_images import BlankImage, ImageSwap
from typer.testing import CliRunner

from mmedpo import Drop, Pair
from mmedpo.cli.main import app
from mmedpo.evaluate.image_sensitivity import ImageSensitivityMetric, count_changes, name_probe
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
  probe: [{use: swap}, {use: blank}, {use: lesion-noise, step: 800}, {use: lesion-noise, place: decoy}]
  max_new_tokens: 6
"""


def test_a_swapped_film_is_another_patient_s_and_a_blank_one_is_even() -> None:
    cases = tiny_cases(4)
    swapped = list(ImageSwap().disprefer(cases, None, [[]] * 4))
    for case, pair in zip(cases, swapped, strict=True):
        assert isinstance(pair, Pair)
        assert pair.rejected.image != case.image
    (alone,) = ImageSwap().disprefer(cases[:1], None, [[]])
    assert alone == Drop(cases[0].id, "no other patient's film is at hand")
    (blank,) = BlankImage().disprefer(cases[:1], None, [[]])
    assert isinstance(blank, Pair)
    low, high = blank.rejected.image.load().convert("L").getextrema()
    assert low == high


def test_a_probe_is_named_by_what_is_not_as_always() -> None:
    assert name_probe(LesionNoise()) == "lesion-noise"
    assert name_probe(LesionNoise(place="decoy")) == "lesion-noise-decoy"


def test_changed_answers_are_counted_among_those_that_were_asked_again() -> None:
    cases = tiny_cases(3)
    probes = {"swap": [(0, cases[0]), (2, cases[2])], "blank": [(1, cases[1])]}
    rows = count_changes(
        probes, ["Yes.", "No", "Left"], lambda asked, name: ["yes", "Right"] if name == "swap" else ["Yes"]
    )
    assert ImageSensitivityMetric().combine(rows) == {"changed_by_swap": 0.5, "changed_by_blank": 1.0}
    assert ImageSensitivityMetric().combine([{}]) == {}


def test_a_probe_that_changes_no_image_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("{use: swap}", "{use: opposite-answer}"))
    done = CliRunner().invoke(app, ["check", str(path)])
    assert done.exit_code == 2
    assert "recipe.yaml:10:11: 'opposite-answer' makes text pairs; a probe changes the image" in done.stderr


@pytest.mark.slow
def test_a_run_says_how_often_answers_change_and_compares_them(mmedpo: Mmedpo, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = mmedpo("run", "recipe.yaml", "--json")
    assert done.returncode == 0, done.stderr
    looks = json.loads(done.stdout)["measures"]["measures"][1]
    assert looks["use"] == "looks"
    names = {"swap", "blank", "lesion-noise-800", "lesion-noise-decoy"}
    assert set(looks["before"]) == set(looks["after"]) == {f"changed_by_{name}" for name in names}
    assert looks["before"]["changed_by_swap"] > 0
    compared = mmedpo("compare", "out", "out", "--json")
    assert {row["metric"] for row in json.loads(compared.stdout)} == {"med-vqa", "looks"}
    assert json.loads(mmedpo("run", "recipe.yaml", "--json").stdout)["did"] is False
