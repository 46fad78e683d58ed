"""A greedy answer against a sampled one: what the critic is told, how its choice is read, what becomes a pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.dispreferences.sima.critics import read_choice
from mmedpo_plugins.dispreferences.sima.sima import SelfCritic
from talker import Talker

from mmedpo import Case, Drop, Pair, Setting
from mmedpo.testing import tiny_cases

CASE = tiny_cases(2)[1]  # Where is the nodule? In the left upper lobe.
SAMPLED, GREEDY = "In the right lobe.", "In the left lobe."
Criticism = Callable[[Case, int], str]


def made(criticism: Criticism, sampled: str = SAMPLED, greedy: str = GREEDY, **options: Any) -> tuple[Any, Talker]:
    """Return the pair or drop of a case, and the backbone that answered and criticised so."""

    def say(case: Case, before: int) -> str:
        return (sampled, greedy)[before] if case.question == CASE.question else criticism(case, before)

    backbone = Talker(say)
    with SelfCritic(**options).open(Setting()) as live:
        (item,) = live.disprefer([CASE], backbone, [()])
    return item, backbone


def left_is_better(case: Case, before: int) -> str:
    return f"Because.\nBetter answer: {1 if f'Answer 1: {GREEDY}' in case.question else 2}"


def test_the_answer_that_the_critic_picks_is_preferred_over_the_other() -> None:
    pair, _ = made(left_is_better)
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == (GREEDY, SAMPLED)
    assert pair.notes == {"critic": "ask", "chosen": "greedy"}
    pair, _ = made(lambda case, before: "Better answer: 1")
    assert (pair.chosen.answer, pair.notes["chosen"]) == (SAMPLED, "sampled")


def test_one_answer_is_greedy_and_the_other_sampled_and_the_critic_is_greedy() -> None:
    _, backbone = made(left_is_better)
    assert [seed is None for _, seed in backbone.asked] == [False, True, True]


def test_the_critic_is_shown_the_truth_and_the_sampled_answer_first() -> None:
    _, backbone = made(left_is_better)
    told = backbone.asked[-1][0]
    assert f"Correct answer: {CASE.answer}\nAnswer 1: {SAMPLED}\nAnswer 2: {GREEDY}" in told
    assert f"Question: {CASE.question}\n" in told


def test_asked_in_both_orders_a_critic_that_likes_what_comes_first_makes_no_pair() -> None:
    drop, backbone = made(lambda case, before: "Better answer: 1", both_orders=True)
    assert drop == Drop(CASE.id, "the critic picks the other answer when their order is turned round")
    assert len(backbone.asked) == 4
    pair, _ = made(left_is_better, both_orders=True)
    assert isinstance(pair, Pair)
    assert pair.chosen.answer == GREEDY


@pytest.mark.parametrize("both_orders", [False, True])
def test_a_choice_that_cannot_be_read_drops_the_case(both_orders: bool) -> None:
    drop, _ = made(lambda case, before: "Both are good.", both_orders=both_orders)
    assert drop == Drop(CASE.id, "the critic's choice cannot be read")


@pytest.mark.parametrize("sampled", ["in the left lobe", "", "<think>left"])
def test_answers_that_do_not_differ_are_compared_by_nobody(sampled: str) -> None:
    drop, backbone = made(left_is_better, sampled)
    assert drop == Drop(CASE.id, "the sampled answer says what the greedy one does, or one says nothing")
    assert len(backbone.asked) == 2


def test_an_answer_that_was_cut_is_not_preferred() -> None:
    drop, _ = made(lambda case, before: "Better answer: 1", "In the left upper lo…")
    assert drop == Drop(CASE.id, "the better answer was cut at max_new_tokens")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Answer 1 is better than 2 at first.\nBetter answer: 2", 2),
        ("The **better answer** is answer 1.", 1),
        ("Better answer: 1. No: Better answer: 2", 2),
        ("2", 2),
        ("Better answer: 3", None),
        ("Better answer: N", None),
        ("Answer 1 has it right", None),
        ("", None),
    ],
)
def test_a_choice_is_read_where_it_is_named_and_nowhere_else(text: str, read: int | None) -> None:
    assert read_choice(text) == read


@pytest.mark.parametrize(
    ("greedy", "sampled", "chosen"),
    [
        ("In the right lower lobe.", "In the left upper lobe.", "sampled"),
        ("In the left lung.", "In the right upper lobe.", "greedy"),
    ],
)
def test_the_rules_pick_what_contradicts_the_truth_less(greedy: str, sampled: str, chosen: str) -> None:
    pair, backbone = made(left_is_better, sampled, greedy, critic="rules")
    assert isinstance(pair, Pair)
    assert pair.notes == {"critic": "rules", "chosen": chosen}
    assert len(backbone.asked) == 2, "no model is asked"


def test_answers_that_the_rules_find_as_wrong_make_no_pair() -> None:
    drop, _ = made(left_is_better, "It is hard to tell.", "One cannot tell.", critic="rules")
    assert drop == Drop(CASE.id, "the rules find both answers as far from the truth")


def test_a_recipe_can_bring_a_prompt_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "critic.txt").write_text("{{ question }} {{ truth }}: {{ first }} or {{ second }}")
    _, backbone = made(left_is_better, prompts=str(tmp_path))
    assert backbone.asked[-1][0] == f"{CASE.question} {CASE.answer}: {SAMPLED} or {GREEDY}"


def test_an_option_of_asking_is_a_mistake_where_the_rules_pick() -> None:
    with pytest.raises(ValueError, match="'both_orders' is for critic: ask"):
        SelfCritic(critic="rules", both_orders=True)
