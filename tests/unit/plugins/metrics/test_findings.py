"""Findings in reports: read as drawn on phantoms; claims, misses, general words, sides, doubts, resamples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmedpo_plugins.metrics.findings import FindingsMetric
from mmedpo_plugins.phantom import language
from mmedpo_plugins.phantom.findings import LABELS, WORLDS, PhantomFinding
from mmedpo_plugins.radiology.labels import label_findings
from mmedpo_plugins.radiology.mentions import read_mentions

from mmedpo import Case, ImageRef, sum_statistics

NAMES = {label: label for label in LABELS} | {"device": "pacemaker"}


def report(truth: str) -> Case:
    return Case("r", ImageRef(), "Describe the findings.", truth, kind="report")


def measures(truths: Sequence[str], answers: Sequence[str], **options: Any) -> dict[str, float]:
    metric = FindingsMetric(**options)
    return metric.combine(metric.measure([report(truth) for truth in truths], answers))


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_the_labels_of_a_phantom_report_are_the_drawn_findings(world: str) -> None:
    for seed in range(1000):
        drawn = WORLDS[world].sample(seed)
        found = label_findings(read_mentions(language.report(drawn)))
        present = {name: label for name, label in found.items() if label.status == "present"}
        assert {name for name, label in found.items() if label.status == "uncertain"} == set()
        assert set(present) == {NAMES[one.label] for one in drawn}
        for one in drawn:
            assert present[NAMES[one.label]].sides == ({one.side} if one.side else set())
            assert present[NAMES[one.label]].places == ({one.place} if one.place else set())


def test_the_true_report_is_perfect() -> None:
    reports = [language.report(WORLDS["balanced"].sample(seed)) for seed in range(100)]
    found = measures(reports, reports)
    assert {found[name] for name in ("f1", "precision", "recall", "side_accuracy", "place_accuracy")} == {1}
    assert {found[name] for name in ("false_claims", "missed", "false_reports", "unread")} == {0}
    assert found["report_count"] == 100


def test_claims_and_true_findings_are_counted_over_all_cases() -> None:
    truths = ["There is a small left pleural effusion. There is cardiomegaly.", "The lungs are clear."]
    answers = ["There is a large right pleural effusion. No cardiomegaly.", "There is a nodule."]
    assert measures(truths, answers) == {
        "f1": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "false_claims": 0.5,
        "missed": 0.5,
        "false_reports": 0.5,
        "side_accuracy": 0,
        "unread": 0,
        "claimed_count": 2,
        "true_count": 2,
        "report_count": 2,
    }


@pytest.mark.parametrize(
    ("truth", "answer", "precision", "recall"),
    [
        ("Left lower lobe consolidation.", "There is an opacity.", 1, 0),
        ("There is an opacity.", "Left lower lobe consolidation.", 0, 1),
        ("Left lower lobe pneumonia.", "There is an abnormality.", 1, 0),
        ("There is a pacemaker.", "There is an abnormality.", 0, 0),
    ],
)
def test_a_specific_truth_bears_out_a_general_claim_but_is_not_found_by_it(
    truth: str, answer: str, precision: float, recall: float
) -> None:
    found = measures([truth], [answer])
    assert (found["precision"], found["recall"]) == (precision, recall)


@pytest.mark.parametrize(("uncertain", "claims"), [("present", 2), ("absent", 1), ("left-out", 1)])
def test_what_is_possible_counts_as_the_recipe_says(uncertain: str, claims: int) -> None:
    found = measures(["Possible pneumonia."], ["Pneumonia. There is a nodule."], uncertain=uncertain)
    assert found["claimed_count"] == (2 if uncertain != "left-out" else 1)
    assert found["true_count"] == (1 if uncertain == "present" else 0)
    assert found["false_claims"] == pytest.approx({"present": 0.5, "absent": 1, "left-out": 1}[uncertain])
    hedged = measures(["The lungs are clear."], ["Possible pneumonia. There is a nodule."], uncertain=uncertain)
    assert hedged["claimed_count"] == claims


def test_side_and_place_are_judged_where_both_state_the_finding_and_the_truth_gives_them() -> None:
    truth = "There is a small left lower lobe nodule. There is a right pleural effusion. There is cardiomegaly."
    found = measures([truth], ["There is a left upper lobe nodule. There is an effusion. Severe cardiomegaly."])
    assert found["side_accuracy"] == 0.5
    assert found["place_accuracy"] == 0
    assert "side_accuracy" not in measures(["There is a nodule."], ["There is a left nodule."])


def test_an_answer_without_any_statement_is_unread_and_misses_everything() -> None:
    found = measures(["There is a nodule."], ["The the of and."])
    assert (found["unread"], found["missed"], found["f1"]) == (1, 1, 0)
    assert "precision" not in found


def test_a_truth_without_any_statement_and_other_kinds_are_left_out() -> None:
    assert measures(["Chest X-ray."], ["There is a nodule."]) == {}
    closed = Case("c", ImageRef(), "Is there a nodule?", "Yes", kind="closed")
    opened = Case("o", ImageRef(), "On which side is the nodule?", "Left", kind="open")
    assert FindingsMetric().measure([closed, opened], ["Yes", "Left"]) == [{}, {}]


def test_open_answers_are_read_with_their_question_when_asked_for() -> None:
    opened = Case("o", ImageRef(), "On which side is the nodule?", "Left", kind="open")
    metric = FindingsMetric(open_answers=True)
    found = metric.combine(metric.measure([opened, opened], ["On the left", "Right"]))
    assert (found["f1"], found["side_accuracy"]) == (1, 0.5)


def test_only_some_findings_are_counted_when_a_recipe_names_them() -> None:
    truth, answer = "There is a nodule. There is cardiomegaly.", "There is a nodule. There is a pneumothorax."
    assert measures([truth], [answer], only=("nodule", "cardiomegaly"))["precision"] == 1
    clear = measures(["The lungs are clear."], ["There is a pneumothorax."], only=("pneumothorax",))
    assert (clear["false_claims"], clear["report_count"]) == (1, 1)
    general = measures(["There is a nodule."], ["There is an opacity."], only=("opacity",))
    assert (general["precision"], general["true_count"]) == (1, 0)
    with pytest.raises(ValueError, match=r"'nodul' is no finding of the labeller \(nodule"):
        FindingsMetric(only=("nodul",))


REPORTS = [language.report([PhantomFinding(label, "left", "upper", "small")]) for label in LABELS]
WORDS = sorted({"no", "not", "right", "lower", *" ".join(REPORTS).split()})


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.text(max_size=60))
def test_broken_and_contradictory_answers_are_counted_and_never_fail(words: list[str], noise: str) -> None:
    truth = "There is a small left lower lobe nodule. The heart is normal in size."
    metric = FindingsMetric(open_answers=True)
    for text in (" ".join(words), noise):
        (row,) = metric.measure([report(truth)], [text])
        assert 0 <= row["right"] <= row["claimed"]
        assert 0 <= row["found"] <= row["true"] == 1
        assert metric.combine([row])


def test_a_contradiction_claims_the_finding() -> None:
    found = measures(["The lungs are clear."], ["The lungs are clear. There is a nodule. There is no nodule."])
    assert found["claimed_count"] == 1


def test_the_sum_of_rows_measures_what_the_rows_do() -> None:
    truths = [language.report(WORLDS["balanced"].sample(seed)) for seed in range(40)]
    answers = [language.report(WORLDS["usual"].sample(seed)) for seed in range(40)]
    rows = FindingsMetric().measure([report(truth) for truth in truths], answers)
    picks = random.Random(0).choices(rows, k=60)
    assert FindingsMetric().combine([sum_statistics(picks)]) == pytest.approx(FindingsMetric().combine(picks))


def test_its_place_is_among_the_parts(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from mmedpo.cli.main import app

    done = CliRunner().invoke(app, ["plugins", "show", "findings"])
    assert done.exit_code == 0, done.output
    assert "false_claims" in done.output
