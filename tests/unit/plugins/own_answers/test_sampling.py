"""The backbone's own answers: how they are drawn, read and told apart, and what a pair of two of them is."""

from __future__ import annotations

import pytest
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, ask_about, sample_answers, unlike_answers
from talker import Talker

from mmedpo import Answer, AnswerLimits, Drop, Pair, seed_for
from mmedpo.testing import tiny_cases

CASES = tiny_cases(2)
SHORT = AnswerLimits(closed=8, open=8, report=8)


def test_each_case_is_sampled_with_seeds_of_its_own_whatever_stands_beside_it() -> None:
    both, one = Talker(lambda case, before: f"{case.id} {before}"), Talker(lambda case, before: "")
    told = sample_answers(both, CASES, 2, temperature=1.0, max_new_tokens=SHORT, seed=3)
    assert [[own.text for own in some] for some in told] == [["tiny-0 0", "tiny-0 1"], ["tiny-1 0", "tiny-1 1"]]
    sample_answers(one, CASES[1:], 2, temperature=1.0, max_new_tokens=SHORT, seed=3)
    assert both.asked[2:] == one.asked
    assert [seed for _, seed in one.asked] == [seed_for(3, "tiny-1", 0), seed_for(3, "tiny-1", 1)]


def test_no_backbone_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no backbone"):
        sample_answers(None, CASES, 1, temperature=1.0, max_new_tokens=SHORT, seed=0)


def test_another_question_about_a_case_is_asked_of_its_image() -> None:
    backbone = Talker(lambda case, before: f"{case.id}: {case.question}")
    assert [own.text for own in ask_about(backbone, [(CASES[0], "Why?")], max_new_tokens=4)] == ["tiny-0: Why?"]


def test_answers_that_differ_in_writing_alone_or_say_nothing_count_once_or_not_at_all() -> None:
    said = ["Left.", "<think>so</think> left", "", "<think>endless", "Right"]
    assert [own.text for own in unlike_answers(map(OwnAnswer, said))] == ["Left.", "Right"]


def test_an_answer_that_was_cut_may_be_rejected_and_is_marked_but_is_never_preferred() -> None:
    whole, cut = OwnAnswer("The lungs are clear."), OwnAnswer(Answer("There is a", cut=True))
    pair = prefer_answer(CASES[0], whole, cut, {"samples": 2})
    assert isinstance(pair, Pair)
    assert pair.notes == {"samples": 2, "cut": True}
    assert prefer_answer(CASES[0], cut, whole, {}) == Drop("tiny-0", "the better answer was cut at max_new_tokens")
