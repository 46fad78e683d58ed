"""The phantom study can be carried out, at reduced size; what it finds then means nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Mmedpo, environment
from forks import Forks
from mmedpo_plugins.phantom.backbone import WEIGHTS
from mmedpo_plugins.weightings import ClinicalWeighting, FilterWeighting, RawWeighting
from new_packages import look_installed

from mmedpo import Score

STUDY = ROOT / "examples/studies"
sys.path.insert(0, str(STUDY))


RECIPES = ("explore", "beyond", "image_half", "confirm-beyond", "confirm-presence", "confirm-sides", "hard")


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_tried_and_confirmed_are_recipes_whose_variants_are_fine(name: str, mmedpo: Mmedpo) -> None:
    own = [f"backbone.checkpoint={WEIGHTS}"] if name == "hard" else []  # its own base is made first
    done = mmedpo("check", STUDY / f"{name}.yaml", *own)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_confirmation_ends_with_table_contrasts_and_controls(forks: Forks, tmp_path: Path) -> None:
    line = [str(STUDY / "study.py"), "confirm", "sides", "--small", "--out", str(tmp_path)]
    done = forks.run(line, tmp_path, environment())
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "sides/confirm.json").read_text())
    assert {row["method"] for row in found["contrasts"]} == {"best"}
    methods = {row["method"] for row in found["table"]}
    assert {"start", "sft", "sft-of-best", "best-shuffled"} <= methods
    assert ("best", "sft-once") in {(row["method"], row["against"]) for row in found["others"]}
    assert (found["settings"]["recipe"], found["settings"]["seeds"]) == ("confirm-sides.yaml", [3])
    assert found["controls"].keys() == {"start", "best"}
    assert "forced_choice" in done.stdout
    assert "report_f1_matched" in done.stdout
    assert "| best - sft | " in done.stdout
    runs = [str(tmp_path / "sides/confirm/base-0/seed-3" / method) for method in ("sft-once", "best")]
    done = forks.run(
        [str(STUDY / "results.py"), "one.json", str(STUDY / "confirm-sides.yaml"), *runs], tmp_path, environment()
    )
    assert done.returncode == 0, done.stderr
    shown = values(json.loads((tmp_path / "one.json").read_text()))
    assert shown == {key: value for key, value in values(found).items() if key in shown}
    assert {method for method, _ in shown} == {"start", "sft-once", "best"}


def values(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(row["method"], row["measure"]): row["value"] for row in found["table"]}


def test_f1_is_matched_between_the_thresholds_whose_false_claims_are_on_either_side() -> None:
    from report_curve import f1_at, greedy_row, measure_thresholds, read_claims
    from study import match_reports

    truths = [read_claims("There is a nodule. There is a pacemaker."), read_claims("The lungs are clear.")]
    votes = [{"nodule": 12.0, "pacemaker": 3.0}, {"effusion": 10.0, "pneumothorax": 1.0}]
    curve = measure_thresholds(truths, votes)
    assert [(row["threshold"], row["false_claims"]) for row in curve] == [
        (12, 0),
        (10, 0.5),
        (3, pytest.approx(1 / 3)),
        (1, 0.5),
    ]
    assert [row["f1"] for row in curve] == pytest.approx([2 / 3, 1 / 2, 4 / 5, 2 / 3])
    assert greedy_row(curve)["threshold"] == 10
    assert f1_at(curve, 0.5) == curve[-1]["f1"]
    share = (0.4 * 3 - 1) / (0.4 * 3 - 1 - (0.4 * 4 - 2))  # of 3 claims and 1 false one, with 4 and 2: .4 are false
    precision, recall = 2 / (3 + share), 1.0
    assert f1_at(curve, 0.4) == pytest.approx(2 * precision * recall / (precision + recall))
    assert f1_at(curve[1:2], 0.1) != f1_at(curve[1:2], 0.1), "none is that careful: not a number"
    strict = [{"auc": 0.9, "report_curve": curve[:3]}]
    assert match_reports({"sft": strict, "best": [{"auc": 0.8, "report_curve": curve}]}, "sft") == {
        "sft": [{"auc": 0.9, "report_f1_matched": pytest.approx(4 / 5)}],
        "best": [{"auc": 0.8, "report_f1_matched": pytest.approx(2 / 3)}],
    }


def test_what_is_not_defined_has_no_number_in_the_results(tmp_path: Path) -> None:
    from results import write_results

    write_results(tmp_path / "found.json", {"controls": {"sft": [{"matched": float("nan"), "auc": 0.12345678}]}})
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "controls": {"sft": [{"matched": None, "auc": 0.123457}]}
    }


@pytest.mark.slow
def test_the_study_of_weights_predicts_from_trials_and_is_judged_by_what_it_predicted(
    forks: Forks, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    look_installed(ROOT / "examples/spoil_plugin", site)
    small = ["--small", "--jobs", "1", "--out", str(tmp_path / "out"), "--results", str(tmp_path)]
    trial, both = (
        ["none-0-uniform-known", "right-50-uniform-known"],
        ["right-50-uniform-known", "right-50-filter-known"],
    )
    for part, cells in {"trial": trial, "predict": [*trial, *both], "confirm": both}.items():
        done = forks.run([str(STUDY / "weights.py"), part, *small, "--cells", *cells], tmp_path, environment(site))
        assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "weights.json").read_text())
    assert {row["cell"] for row in found["rows"]} == {"right-50-filter-known"}
    assert all(row["left"]["right"] == 0 for row in found["rows"])  # a filter leaves no weight on bad pairs
    assert {row["against"] for row in found["contrasts"]} == {"right-50-uniform-known"}


@pytest.mark.parametrize("weighting", ["clinical", "wide", "raw", "filter"])
@pytest.mark.parametrize(("flipped", "dose"), [(0, 0.25), (0, 0.5), (1, 0.25)])
def test_the_law_has_the_doses_that_the_weightings_themselves_leave(weighting: str, flipped: int, dose: float) -> None:
    from law import HIGH, LOW, expect_dose
    from weights import WEIGHTINGS

    bad = [number < dose * 40 for number in range(40)]
    erred = [flipped and number % 10 == 0 for number in range(40)]
    scores = [Score(HIGH if one == error else LOW, scorer="known") for one, error in zip(bad, erred, strict=True)]
    options = {name: value for name, value in WEIGHTINGS[weighting].items() if name != "use"}
    part = {"raw": RawWeighting, "filter": FilterWeighting}.get(weighting, ClinicalWeighting)(**options)
    weights = part.weigh(scores)
    on_bad = sum(weight for weight, one in zip(weights, bad, strict=True) if one)
    error = sum(map(bool, erred)) / 40
    assert on_bad / sum(weights) == pytest.approx(expect_dose(weighting, dose, error), abs=0.02 if flipped else 1e-9)
