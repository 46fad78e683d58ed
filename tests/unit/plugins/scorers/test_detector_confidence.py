"""The scorer of image pairs."""

from __future__ import annotations

from typing import Any

from mmedpo_plugins.scorers.detector_confidence import DetectorConfidenceScorer

from mmedpo import Case, ImageRef, Pair, Setting, Side


def scored(notes: dict[str, Any]) -> Any:
    side = Side(ImageRef(), "Yes")
    with DetectorConfidenceScorer().open(Setting()) as live:
        (score,) = live.score([Pair(Case("c", ImageRef(), "?", "Yes"), side, side, "image", notes=notes)])
    return score


def test_relevance_is_the_confidence_of_the_noised_region() -> None:
    regions = [{"label": "nodule", "box": [0, 0, 4, 4], "confidence": 0.7}]
    score = scored({"regions": regions})
    assert score.relevance == 0.7
    assert score.evidence["regions"] == regions


def test_of_several_regions_the_surest_counts() -> None:
    assert scored({"regions": [{"confidence": 0.2}, {"confidence": 0.9}]}).relevance == 0.9


def test_a_pair_without_a_noised_region_is_not_rated() -> None:
    for notes in ({}, {"regions": []}):
        score = scored(notes)
        assert score.relevance is None
        assert "no noised region" in score.evidence["reason"]


def test_it_rates_image_pairs_only() -> None:
    assert DetectorConfidenceScorer.rates == {"image"}
