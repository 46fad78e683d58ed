"""Weightings: the arithmetic of the paper's normalisation, also on the scores released with it."""

from __future__ import annotations

import json
from itertools import pairwise
from math import sqrt
from statistics import fmean, pvariance

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from mmedpo_plugins.weightings import (
    ClinicalWeighting,
    FilterWeighting,
    GivenWeighting,
    LiteralWeighting,
    RawWeighting,
    ShuffledWeighting,
    UniformWeighting,
)
from pydantic import ValidationError

from mmedpo import Score, Weighting

SHARED = ROOT.parent / "shared"
VQA_RAD, SLAKE = "vqa_rad/vqa-rad_dpo_weighted.json", "slake/slake_dpo_weighted.json"


def scores(*relevances: float, scorer: str = "") -> list[Score]:
    return [Score(relevance, scorer=scorer) for relevance in relevances]


def released(name: str) -> list[Score]:
    file = SHARED / "data" / name
    if not file.exists():
        pytest.skip(f"{file} is not here")
    return scores(*(entry["weighted_score"] for entry in json.loads(file.read_text())))


def test_clinical_standardises_and_rescales_to_mean_1_and_variance_a_tenth() -> None:
    # Mean 1/2, deviation 1/2: standard scores -1 and 1, times sqrt(.1) = .316; with wide limits nothing is clipped.
    assert ClinicalWeighting(low=0, high=9).weigh(scores(0, 1)) == pytest.approx([1 - sqrt(0.1), 1 + sqrt(0.1)])
    weights = ClinicalWeighting(low=0, high=9).weigh(scores(0.2, 0.8, 0.9, 1.0, 0.5, 0.7))
    assert fmean(weights) == pytest.approx(1)
    assert pvariance(weights) == pytest.approx(0.1)


def test_clinical_clips_to_its_limits() -> None:
    assert ClinicalWeighting().weigh(scores(0, 1)) == [0.75, 1.25]
    assert ClinicalWeighting(low=0.9, high=1.1).weigh(scores(0, 1)) == [0.9, 1.1]
    assert ClinicalWeighting().weigh(scores(0.4, 0.5, 0.6, 0.5))[1] == pytest.approx(1)


def test_equal_relevances_all_weigh_1() -> None:
    assert ClinicalWeighting().weigh(scores(*[0.1 + 0.2] * 3, *[0.3] * 4)) == pytest.approx([1] * 7)
    assert ClinicalWeighting().weigh(scores(0.7)) == [1]
    assert ClinicalWeighting().weigh([]) == []


def test_clinical_standardises_within_each_scorer_unless_told_otherwise() -> None:
    mixed = scores(0, 0.2, scorer="votes") + scores(0.8, 1.0, scorer="detector")
    assert ClinicalWeighting().weigh(mixed) == [0.75, 1.25, 0.75, 1.25]
    assert ClinicalWeighting(over="all").weigh(mixed) == pytest.approx([0.75, 0.7699, 1.2301, 1.25], abs=1e-4)


def test_the_order_of_the_scores_does_not_matter() -> None:
    mixed = scores(0.1, 0.4, scorer="a") + scores(0.5, 0.9, 0.2, scorer="b")
    assert ClinicalWeighting().weigh(mixed[::-1]) == pytest.approx(ClinicalWeighting().weigh(mixed)[::-1])


def test_raw_is_the_relevance_itself() -> None:
    assert RawWeighting().weigh(scores(0, 0.4, 1)) == [0, 0.4, 1]


def test_literal_gives_its_lower_limit_to_every_relevance() -> None:
    assert LiteralWeighting().weigh(scores(0, 0.5, 1)) == [0.75] * 3
    assert LiteralWeighting(low=0).weigh(scores(1)) == [
        0
    ]  # (1 - 1) / sqrt(.1): the printed formula centres the best at 0


def test_uniform_gives_ones() -> None:
    assert UniformWeighting().weigh(scores(0, 0.4, 1)) == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "zeros", "at_low", "mean"),
    [(VQA_RAD, 12, 303, 1.0691), (SLAKE, 78, 1240, 1.0601)],
)
def test_on_the_released_scores(name: str, zeros: int, at_low: int, mean: float) -> None:
    all_scores = released(name)
    assert set(LiteralWeighting().weigh(all_scores)) == {0.75}
    assert RawWeighting().weigh(all_scores).count(0) == zeros
    weights = ClinicalWeighting().weigh(all_scores)
    assert weights.count(0.75) == at_low
    assert fmean(weights) == pytest.approx(mean, abs=1e-4)
    order = sorted(range(len(weights)), key=lambda index: all_scores[index].relevance or 0)
    assert all(weights[one] <= weights[two] for one, two in pairwise(order))


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("ab")), max_size=30))
def test_every_weighting_gives_a_finite_weight_of_at_least_0(values: list[tuple[float, str]]) -> None:
    given_scores = [Score(relevance, scorer=scorer) for relevance, scorer in values]
    parts: list[Weighting] = [
        ClinicalWeighting(),
        ClinicalWeighting(over="all"),
        RawWeighting(),
        LiteralWeighting(),
        UniformWeighting(),
    ]
    for part in parts:
        weights = part.weigh(given_scores)
        assert len(weights) == len(values)
        assert all(0 <= weight <= 1.25 for weight in weights)


@pytest.mark.parametrize("limits", [{"low": 1.2}, {"high": 0.9}, {"low": -0.1}, {"high": float("inf")}])
def test_limits_that_do_not_enclose_1_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ClinicalWeighting(**limits)  # type: ignore[arg-type]


def test_shuffled_weights_are_the_clinical_ones_on_other_pairs_of_the_same_scorer() -> None:
    scores = [Score(value / 40, scorer=name) for name in ("a", "b") for value in range(20)]
    weights, shuffled = ClinicalWeighting().weigh(scores), ShuffledWeighting().weigh(scores)
    for part in (slice(0, 20), slice(20, 40)):
        assert sorted(shuffled[part]) == sorted(weights[part])
        assert shuffled[part] != weights[part]
    assert ShuffledWeighting(draw=1).weigh(scores) != shuffled == ShuffledWeighting().weigh(scores)


def test_a_filter_keeps_what_is_relevant_enough() -> None:
    assert FilterWeighting(least=0.3).weigh([Score(value) for value in (0.0, 0.29, 0.3, 1.0)]) == [0, 0, 1, 1]


def test_given_takes_the_weight_that_the_evidence_holds() -> None:
    assert GivenWeighting().weigh([Score(0.5, {"weight": 1.2}), Score(0.9, {"votes": []})]) == [1.2, 1.0]
