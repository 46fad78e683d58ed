"""Errors of a word: each says something else, and leaves the rest of the answer as it is."""

from __future__ import annotations

from difflib import SequenceMatcher
from random import Random

import pytest
from mmedpo_plugins.dispreferences.minimal_edits.error_injection import ErrorInjection
from mmedpo_plugins.dispreferences.minimal_edits.errors import draw_errors
from mmedpo_plugins.dispreferences.minimal_edits.own_answer_edit import OwnAnswerEdit
from mmedpo_plugins.dispreferences.minimal_edits.word_edits import KINDS, ErrorKind, find_edits
from mmedpo_plugins.phantom.reader import PhantomReader
from mmedpo_plugins.radiology.answer_difference import compare_answers

from mmedpo import Answer, Case, Drop, ImageRef, Pair, Setting
from mmedpo.testing import TinyBackbone


def case(answer: str, question: str = "Describe the findings.", name: str = "c") -> Case:
    return Case(name, ImageRef(sha256="p"), question, answer)


def injected(*cases: Case, seed: int = 0, **options: object) -> list[Pair | Drop]:
    with ErrorInjection(**options).open(Setting(seed=seed)) as live:
        return list(live.disprefer(cases, None, [[] for _ in cases]))


def all_errors(answer: str, *kinds: ErrorKind, question: str = "Describe the findings.") -> set[str]:
    """Return every answer that one error makes."""
    return {draw_errors(question, answer, kinds or KINDS, 1, Random(seed)).answer for seed in range(60)} - {answer}


@pytest.mark.parametrize(
    ("answer", "kind", "wrong"),
    [
        ("Small left pleural effusion.", "finding", {"Small left pneumothorax.", "Small left pleural thickening."}),
        ("Left upper lobe", "side", {"Right upper lobe"}),
        ("Left upper lobe", "place", {"Left lower lobe"}),
        ("There is mild cardiomegaly.", "severity", {"There is severe cardiomegaly."}),
        ("A nodule of 3 mm.", "size", {"A nodule of 6 mm."}),
        ("A 1.2 cm mass.", "size", {"A 2.4 cm mass."}),
        ("There is no pneumothorax.", "presence", {"There is pneumothorax."}),
        ("No pneumothorax.", "presence", {"Pneumothorax."}),
        ("There is a nodule.", "presence", {"There is no nodule."}),
        ("The lungs are clear.", "presence", {"The lungs are opacified."}),
        ("Heart", "organ", {"Lung"}),
        ("Axial", "view", {"Coronal", "Sagittal"}),
        ("MRI", "view", {"CT"}),
    ],
)
def test_an_error_exchanges_a_word_for_another_of_its_kind(answer: str, kind: ErrorKind, wrong: set[str]) -> None:
    assert all_errors(answer, kind) == wrong


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ("Opacities in the left and right lung.", ("side",)),  # its sentence says the other side already
        ("Heart size is within normal limits.", KINDS),
        ("The heart is seen in the middle of the chest.", ("organ",)),  # no more than a name is exchanged
        ("No pleural effusion.", ("finding",)),  # that there is no pneumothorax may be as true
        ("Gauze.", KINDS),
    ],
)
def test_what_would_be_no_error_is_left_alone(answer: str, kinds: tuple[ErrorKind, ...]) -> None:
    assert all_errors(answer, *kinds) == set()


def test_a_yes_becomes_a_no_and_a_yes_with_a_reason_keeps_its_yes() -> None:
    assert all_errors("Yes", question="Is there a nodule?") == {"No"}
    reasoned = all_errors("Yes, there is a nodule.", question="Is there a nodule?")
    assert reasoned
    assert all(answer.startswith("Yes, there is a") and "no " not in answer for answer in reasoned)


def test_an_article_follows_its_word() -> None:
    assert "There is a small nodule and an infiltrate." in {
        edit.apply("There is a small nodule and a mass.", "infiltrate")
        for edit in find_edits("There is a small nodule and a mass.")
    }


def test_so_many_errors_are_put_in_at_most_one_a_sentence() -> None:
    report = "There is a small left effusion. The lungs are clear. The heart is normal in size."
    for errors in (1, 2, 3, 9):
        (pair,) = injected(case(report), errors=errors)
        assert isinstance(pair, Pair)
        assert len(pair.notes["changes"]) == min(errors, 3)
    sentences = zip(report.split(". "), pair.rejected.answer.split(". "), strict=True)
    assert all(was != now for was, now in sentences)


def test_errors_depend_on_the_seed_and_the_case_alone() -> None:
    cases = [case("There is a small left upper lobe nodule.", name=str(number)) for number in range(12)]
    once, again, other = injected(*cases), injected(*cases), injected(*cases, seed=1)
    assert once == again != other
    assert len({pair.rejected.answer for pair in once if isinstance(pair, Pair)}) > 3


def test_an_answer_without_a_word_to_exchange_gives_no_pair_and_says_why() -> None:
    (drop,) = injected(case("Gauze."))
    assert drop == Drop("c", "the answer has no word that can be exchanged")


def test_every_answer_of_the_phantom_gets_an_error_that_can_be_read_and_little_else_changes() -> None:
    cases = list(PhantomReader(split="train", images=40).read())
    for a_case, pair in zip(cases, injected(*cases), strict=True):
        assert isinstance(pair, Pair), a_case.answer
        difference = compare_answers(a_case.question, a_case.answer, pair.rejected.answer)
        assert difference is None or difference.rating > 1
        was, now = a_case.answer.split(), pair.rejected.answer.split()
        same = sum(block.size for block in SequenceMatcher(a=was, b=now, autojunk=False).get_matching_blocks())
        assert max(len(was), len(now)) - same <= 2


def edited(answer: str, truth: str, question: str = "Describe the findings.", **options: object) -> Pair | Drop:
    with OwnAnswerEdit(**options).open(Setting()) as live:
        (made,) = live.disprefer([case(truth, question)], TinyBackbone([answer]), [[]])
    return made


@pytest.mark.parametrize(
    ("question", "truth", "answer", "right"),
    [
        ("Where is the nodule?", "Left upper lobe", "It is in the right upper lobe.", "It is in the left upper lobe."),
        ("Where is the nodule?", "Left upper lobe", "The right lower lobe", "The left upper lobe"),
        ("Is there a nodule?", "No", "Yes", "No"),
        ("What is the plane?", "axial", "It is coronal", "It is axial"),
        (
            "Describe the findings.",
            "There is a large left pneumothorax.",
            "I see a large left pleural effusion.",
            "I see a large left pneumothorax.",
        ),
    ],
)
def test_a_wrong_answer_is_put_right_in_its_own_words(question: str, truth: str, answer: str, right: str) -> None:
    pair = edited(answer, truth, question)
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == (right, answer)
    assert pair.notes["own"] == "rejected"


def test_an_error_is_put_into_a_right_answer() -> None:
    pair = edited("The nodule is in the left upper lobe.", "Left upper lobe", "Where is the nodule?")
    assert isinstance(pair, Pair)
    assert pair.chosen.answer == "The nodule is in the left upper lobe."
    assert pair.notes["own"] == "chosen"
    assert len(pair.notes["changes"]) == 1
    assert pair.rejected.answer != pair.chosen.answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("There is a small right pleural effusion and severe cardiomegaly.", "right"),
        ("<think>Left?", "empty"),
    ],
)
def test_an_answer_that_a_few_words_do_not_put_right_gives_no_pair(answer: str, reason: str) -> None:
    drop = edited(answer, "There is a large left pneumothorax. The heart is normal in size.")
    assert isinstance(drop, Drop)
    assert reason in drop.reason


def test_an_answer_that_was_cut_gives_no_pair_since_both_sides_would_end_there() -> None:
    drop = edited(Answer("Left lower lobe", cut=True), "Left upper lobe", "Where is the nodule?")
    assert drop == Drop("c", "the answer was cut at max_new_tokens")
