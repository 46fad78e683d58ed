"""What FiSAO's rewards are made of: the claims of an answer, and where their ratings lie."""

from __future__ import annotations

import pytest
from mmedpo_plugins.losses.fisao.claims import find_claims, is_true
from mmedpo_plugins.losses.fisao.rewards import WordBaseline


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("There is a small left pleural effusion.", ["pleural effusion"]),
        ("No pleural effusion. A Nodule in the right lung, possibly pneumonia.", ["Nodule", "pneumonia"]),
        ("The lungs are clear. The heart is normal in size.", []),
        ("Yes", []),
    ],
)
def test_what_an_answer_claims_to_be_there_is_found_and_what_it_denies_is_not(answer: str, words: list[str]) -> None:
    claims = list(find_claims(answer))
    assert [claim.words for claim in claims] == words
    assert [answer[claim.start : claim.end] for claim in claims] == words


@pytest.mark.parametrize(
    ("answer", "question", "truth", "true"),
    [
        ("A nodule.", "Describe.", "There is a nodule.", True),
        ("A nodule.", "Describe.", "There is a pneumothorax.", False),
        ("A nodule.", "Is there a nodule?", "Yes", True),
        ("A nodule.", "Is there a nodule?", "No", False),
        ("An opacity.", "Describe.", "Left lower lobe consolidation.", True),  # less precise, and not wrong
    ],
)
def test_a_claim_is_true_where_the_truth_says_so(answer: str, question: str, truth: str, true: bool) -> None:
    (claim,) = find_claims(answer)
    assert is_true(claim, question, truth) is true


def test_a_word_is_worth_what_it_lies_above_true_words_or_below_wrong_ones() -> None:
    baseline = WordBaseline(true=0.3, wrong=0.2, spread=0.1)
    assert baseline.tells
    assert [round(baseline.reward(rating, 0.0), 6) for rating in (0.4, 0.3, 0.25, 0.2, 0.05)] == [1, 0, 0, 0, -1.5]
    assert [round(baseline.reward(rating, 0.5), 6) for rating in (0.4, 0.05, 0.16)] == [0.5, -1, 0]


def test_where_the_encoder_cannot_tell_true_words_from_wrong_the_bar_is_between_them() -> None:
    baseline = WordBaseline(true=0.2, wrong=0.3, spread=0.1)
    assert not baseline.tells
    assert [round(baseline.reward(rating, 0.0), 6) for rating in (0.3, 0.25, 0.2)] == [0.5, 0, -0.5]


def test_a_baseline_is_of_true_and_wrong_words() -> None:
    assert WordBaseline.of([0.3, 0.5], [0.1, 0.3]) == WordBaseline(0.4, 0.2, pytest.approx(0.141421, abs=1e-5))
    assert WordBaseline.of([0.2], [0.2]) == WordBaseline(0.2, 0.2, 1.0)
    with pytest.warns(UserWarning, match="claim a wrong finding"):
        assert WordBaseline.of([0.1], []) is None
    with pytest.warns(UserWarning, match="claim a true finding"):
        assert WordBaseline.of([], [0.1]) is None
