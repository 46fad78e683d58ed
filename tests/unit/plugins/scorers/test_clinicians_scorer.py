"""Ratings become relevances: averaged over raters, of these pairs alone, and nothing of a pair that nobody rated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.scorers.clinicians import CliniciansScorer
from raters import Opinion, rating_row, write_ratings

from mmedpo import Pair, Score, Setting
from mmedpo.testing import check_part, tiny_pairs

PAIRS = tiny_pairs("text", 4)


def scorer(path: Path, *said: tuple[int, str, Opinion], **options: Any) -> CliniciansScorer:
    rows = [rating_row(PAIRS[at], rater, opinion, swapped=at % 2 == 1) for at, rater, opinion in said]
    return CliniciansScorer(ratings=write_ratings(path / "ratings.csv", rows), **options)


def scores(part: CliniciansScorer, pairs: list[Pair] | None = None) -> list[Score]:
    with part.open(Setting()) as live:
        return live.score(pairs or PAIRS)


def test_the_relevance_is_the_mean_of_the_raters_and_they_stand_in_the_evidence(tmp_path: Path) -> None:
    twice = ({"relevance": 2}, {"relevance": 4, "presentation": 2, "comment": "hm"})
    part = scorer(tmp_path, *((1, "Anna", one) for one in twice), (1, "Ben", {"relevance": 9, "verdict": "chosen"}))
    first, second, *_ = scores(part)
    assert (first.relevance, first.evidence["reason"]) == (None, "no clinician rated it")
    assert second.relevance == pytest.approx(0.6)
    assert second.evidence["votes"][0] == {"voter": "Anna", "score": 3, "reason": "hm"}


@pytest.mark.parametrize(("wrong", "relevance"), [("zero", 0.0), ("drop", None)])
def test_a_pair_that_most_raters_call_wrong_is_worth_nothing_and_counted(
    tmp_path: Path, wrong: str, relevance: float | None
) -> None:
    said = {"relevance": 8, "verdict": "rejected"}
    part = scorer(
        tmp_path, (0, "Anna", said), (1, "Anna", said), (1, "Ben", {**said, "verdict": "chosen"}), wrong=wrong
    )
    given = scores(part)
    assert [one.relevance for one in given[:2]] == [relevance, 0.8]
    summary = part.summary(PAIRS, given)
    assert (summary["wrong"], summary["votes"]) == (1, {"Anna": 2, "Ben": 1})
    assert "1 pairs that clinicians call wrong" in summary["said"][0]


def test_ratings_of_a_pair_that_has_changed_count_for_nothing_and_are_told(tmp_path: Path) -> None:
    part = scorer(tmp_path, (0, "Anna", {"relevance": 8}), (1, "Anna", {"relevance": 8}))
    changed = [replace(PAIRS[0], chosen=replace(PAIRS[0].chosen, answer="Yes, on the left.")), *PAIRS[2:]]
    given = scores(part, changed)
    assert [one.relevance for one in given] == [None] * 3
    assert part.summary(changed, given)["said"] == [
        "2 ratings count for nothing, of no pair here or of one that has changed: ratings.csv:2, ratings.csv:3"
    ]


def test_it_keeps_a_scorer_s_contract_and_rates_the_kinds_that_it_is_told_to(tmp_path: Path) -> None:
    part = scorer(tmp_path, *((at, "Anna", {"relevance": at}) for at in range(4)))
    check_part(part)
    assert scores(part) == scores(CliniciansScorer(ratings=(part.ratings,)))
    assert part.rates == {"text", "image"}
    assert scorer(tmp_path, kinds=("text",)).rates == {"text"}
