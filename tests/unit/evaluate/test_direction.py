"""Which way a measure is better, and by how much a case got better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
from mmedpo_plugins.metrics.med_vqa.med_vqa import MedVqaMetric

from mmedpo.core.records import Case
from mmedpo.evaluate.direction import case_gain, measure_directions
from mmedpo.registry.contracts.metric import Metric, Statistics
from mmedpo.testing import tiny_cases


class Undeclared(Metric):
    use: ClassVar[str] = "undeclared"

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        return [{} for _ in cases]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        return {}


def test_a_metric_says_itself_which_way_is_better() -> None:
    ways = measure_directions(
        MedVqaMetric(), ["closed_accuracy", "closed_unparsed", "closed_yes", "closed_count", "open_f1"]
    )
    assert ways == {"closed_accuracy": 1, "closed_unparsed": -1, "open_f1": 1}


def test_for_one_that_does_not_the_names_of_papers_say_it() -> None:
    ways = measure_directions(Undeclared(), ["bleu_4", "rouge_l", "false_findings", "words", "recall_count"])
    assert ways == {"bleu_4": 1, "rouge_l": 1, "false_findings": -1}


@pytest.mark.parametrize(("before", "after", "expected"), [("No", "Yes", 1), ("Yes", "No", -1), ("Yes", "yes!", 0)])
def test_the_gain_of_a_case_is_that_of_the_measures_that_changed(before: str, after: str, expected: float) -> None:
    cases = tiny_cases(1)
    old, new = (MedVqaMetric().measure(cases, [said])[0] for said in (before, after))
    assert case_gain(MedVqaMetric(), old, new) == expected


def test_a_case_that_no_measure_applies_to_has_no_gain() -> None:
    assert case_gain(MedVqaMetric(), {}, {}) is None
