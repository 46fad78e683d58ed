"""How clinically relevant the difference between two answers is, by rules."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from mmedpo_plugins.phantom import language
from mmedpo_plugins.phantom.findings import LABELS, PhantomFinding
from mmedpo_plugins.radiology.answer_difference import compare_answers
from mmedpo_plugins.radiology.lexicon import findings
from radlabels_triples import Triple, installed, triples


@pytest.mark.parametrize(
    ("chosen", "rejected", "rating"),
    [
        ("Small left effusion.", "A small pleural effusion on the left.", 0),
        ("Small left effusion.", "Small right effusion.", 8),
        ("Small left effusion.", "Small effusions on both sides.", 7),
        ("Small left effusion.", "Large left effusion.", 5),
        ("Small left effusion.", "Moderate left effusion.", 4),
        ("Small left effusion.", "Left effusion.", 1),
        ("Small left effusion.", "No effusion.", 9),
        ("Small left effusion.", "Possible small left effusion.", 3),
        ("Possible effusion.", "No effusion.", 7),
        ("Left pneumothorax.", "Left effusion.", 10),
        ("Left upper lobe mass.", "Left lower lobe mass.", 6),
        ("Left upper lobe mass.", "Right lower lobe mass.", 10),
        ("Consolidation.", "Opacity.", 4),
        ("The lungs are clear.", "Consolidation.", 9),
        ("Opacity, no consolidation.", "Opacity.", 1),
        ("Left effusion, no right effusion.", "Left effusion.", 1),
        ("Effusion has improved.", "Effusion has worsened.", 4),
        ("8 mm nodule.", "3 cm nodule.", 4),
    ],
)
def test_the_more_a_difference_matters_the_higher_it_rates(chosen: str, rejected: str, rating: int) -> None:
    for one, other in ((chosen, rejected), (rejected, chosen)):
        found = compare_answers("Describe the findings.", one, other)
        assert found is not None
        assert found.rating == rating, found.reason


def test_the_examples_of_the_documentation_rate_as_it_says() -> None:
    page = (ROOT / "docs" / "explanation" / "relevance.md").read_text()
    rows = re.findall(r"^\| ([^|]+\.) \| ([^|]+\.) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 18
    assert {row: compare_answers("", *row[:2]).rating for row in rows} == {row: int(row[2]) for row in rows}  # type: ignore[union-attr]
    assert f"{len(list(findings()))} findings" in page


def test_presence_rates_by_harm_and_above_every_trait() -> None:
    harms = {finding.name: finding.harm for finding in findings()}
    assert len(harms) == len(list(findings()))
    assert all(7 <= harm <= 10 for harm in harms.values())
    assert harms["pneumothorax"] > harms["degenerative change"]


_SENTENCE = "there is no small left effusion and right pneumothorax , heart may not be enlarged . lungs clear 3 cm ;"


_WORDS = st.lists(st.sampled_from(_SENTENCE.split()), max_size=25)


@settings(max_examples=300, deadline=None)
@given(_WORDS, _WORDS)
def test_comparing_is_symmetric_and_an_answer_equals_itself(one: list[str], other: list[str]) -> None:
    first, second = " ".join(one), " ".join(other)
    ahead, back = compare_answers("", first, second), compare_answers("", second, first)
    assert (ahead and ahead.rating) == (back and back.rating)
    same = compare_answers("", first, first)
    assert same is None or same.rating == 0


def test_all_that_is_said_about_a_phantom_is_read() -> None:
    for label in LABELS:
        asked = language.ask_presence(label, True)
        assert compare_answers(asked.question, "Yes", "No").rating >= 8  # type: ignore[union-attr]
        small = PhantomFinding(label, "left", "upper", "small")
        large = PhantomFinding(label, "right", "lower", "large")
        for aspect in language.aspects(small):
            one, other = language.ask_trait(small, aspect), language.ask_trait(large, aspect)
            assert compare_answers(one.question, one.answer, other.answer).rating >= 5  # type: ignore[union-attr]
            assert compare_answers(one.question, one.answer, one.answer).rating == 0  # type: ignore[union-attr]
        told, empty = language.report([small]), language.report([])
        assert compare_answers("Describe the image.", told, empty).rating >= 8  # type: ignore[union-attr]


needs_radlabels = pytest.mark.skipif(not installed(), reason="radlabels is not here: pip install --no-deps radlabels")


def rating(one: str, other: str) -> int:
    found = compare_answers("", one, other)
    return -1 if found is None else found.rating


def in_order(triple: Triple) -> bool:
    changed, severity, paraphrase = (rating(triple.source, text) for text in triple.rewrites)
    return changed > severity > paraphrase >= 0


@needs_radlabels
@pytest.mark.parametrize("half", ["develop", "held out"])
def test_finding_or_side_changed_rates_above_severity_changed_above_paraphrase(half: str) -> None:
    rewritten = list(triples(half))  # type: ignore[arg-type]
    right = Counter(triple.how for triple in rewritten if in_order(triple))
    every = Counter(triple.how for triple in rewritten)
    assert len(rewritten) > 200
    assert right.total() / every.total() >= 0.9, {how: right[how] / every[how] for how in every}


@needs_radlabels
def test_paraphrases_rate_at_most_a_fifth() -> None:
    ratings = [rating(triple.source, triple.paraphrase) for triple in triples("held out")]
    assert sum(0 <= one <= 2 for one in ratings) / len(ratings) >= 0.95
