"""The backbone scores its own answers: what it is asked, how points are read, which answers become a pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.dispreferences.self_rewarding.judges import read_points
from mmedpo_plugins.dispreferences.self_rewarding.self_rewarding import SelfReward
from talker import Talker

from mmedpo import Case, Drop, Pair, RecipeError, Setting
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.testing import tiny_cases

CASE = tiny_cases(2)[1]  # Where is the nodule?
SAMPLES = ["Left lobe.", "Right lobe.", "left lobe", "In the liver."]


def made(judged: Callable[[Case, int], str], said: list[str] = SAMPLES, **options: Any) -> tuple[Any, Talker]:
    """Return the pair or drop of a case, and the backbone that gave these samples and judged so."""

    def say(case: Case, before: int) -> str:
        return said[before] if case.question == CASE.question else judged(case, before)

    backbone = Talker(say)
    with SelfReward(**options).open(Setting()) as live:
        (item,) = live.disprefer([CASE], backbone, [()])
    return item, backbone


def points(case: Case, before: int) -> str:
    return f"It is fine. Score: {4 if 'Left' in case.question else 0 if 'liver' in case.question else 2}"


def test_the_best_of_its_answers_is_preferred_over_the_worst() -> None:
    pair, _ = made(points)
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == ("Left lobe.", "In the liver.")
    assert pair.chosen.image is pair.rejected.image is CASE.image
    assert pair.notes == {"judge": "ask", "scores": [4, 0], "samples": 4, "unlike": 3, "unread": 0}


def test_each_answer_is_judged_so_many_times_with_seeds_of_its_own_and_told_nothing_of_the_truth() -> None:
    _, backbone = made(points, judgements=2)
    judged = [(question, seed) for question, seed in backbone.asked if question != CASE.question]
    assert len(judged) == len({seed for _, seed in judged}) == 3 * 2, "of four samples three are unlike"
    assert all(CASE.question in question and CASE.answer not in question for question, _ in judged)


def test_a_score_is_the_mean_of_the_judgements_that_can_be_read_and_the_others_are_counted() -> None:
    pair, _ = made(
        lambda case, before: f"Score: {3 + before}" if "Left" in case.question else ["Score: 3", "Hm.", "Hm."][before]
    )
    assert isinstance(pair, Pair)
    assert pair.notes["scores"] == [4, 3]
    assert pair.notes["unread"] == 4
    assert pair.notes["fallback"] == "some of the judgements could not be read"


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (lambda case, before: "Score: 3", "the model scores its answers alike"),
        (lambda case, before: "Yes", "fewer than two of the samples have a score that can be read"),
        (
            lambda case, before: "Score: 3" if "Left" in case.question else "",
            "fewer than two of the samples have a score that can be read",
        ),
    ],
)
def test_without_a_best_and_a_worst_the_case_is_dropped(judged: Callable[[Case, int], str], reason: str) -> None:
    assert made(judged)[0] == Drop(CASE.id, reason)


def test_samples_that_say_the_same_are_judged_by_nobody() -> None:
    drop, backbone = made(points, ["Left lobe.", "left lobe"], samples=2)
    assert drop == Drop(CASE.id, "the samples all say the same")
    assert len(backbone.asked) == 2


def test_the_best_answer_may_be_cut_and_then_the_case_is_dropped() -> None:
    drop, _ = made(points, ["Left lobe…", "In the liver."], samples=2)
    assert drop == Drop(CASE.id, "the better answer was cut at max_new_tokens")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("It earns 2 points for that.\nScore: 4", 4),
        ("Score: 2. On a second look:\n**Score:** 3/5", 3),
        ("The total score is 3.5 of 5", 3.5),
        ("5", 5),
        ("**4**", 4),
        ("Score: 6", None),
        ("Score: N", None),
        ("I give it 4 points", None),
        ("", None),
    ],
)
def test_points_are_read_where_they_are_named_and_nowhere_else(text: str, read: float | None) -> None:
    assert read_points(text) == read


def test_expected_points_are_the_mean_of_all_points_by_their_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmedpo_plugins.dispreferences.self_rewarding import judges

    shares = {"Left": [0, 0, 0, 0, 0.5, 0.5], "liver": [0.5, 0, 0.5, 0, 0, 0], "Right": [0, 0, 0, 1, 0, 0]}

    def given(backbone: Any, case: Case, question: str, choices: list[str]) -> list[float]:
        assert choices == list("012345")
        assert "number alone" in question
        return next(some for word, some in shares.items() if word in question)

    monkeypatch.setattr(judges, "choice_shares", given)
    pair, backbone = made(points, judge="expect")
    assert isinstance(pair, Pair)
    assert pair.notes["scores"] == [4.5, 1]
    assert len(backbone.asked) == 4, "it reads what is probable and lets nothing be written"


def test_a_recipe_can_bring_a_prompt_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "judge.txt").write_text("Rate {{ answer }} for {{ question }}")
    _, backbone = made(points, prompts=str(tmp_path))
    assert backbone.asked[-1][0] == f"Rate In the liver. for {CASE.question}"
    (tmp_path / "judge.txt").write_text("{{ truth }}")
    with pytest.raises(RecipeError, match="may name: answer, question, reason"):
        made(points, prompts=str(tmp_path))


@pytest.mark.parametrize("options", [{"judge": "likelihood", "judgements": 2}, {"judge": "likelihood", "prompts": "."}])
def test_an_option_that_its_judge_does_not_use_is_a_mistake(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is for judge: ask"):
        SelfReward(**options)


RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 4}}
backbone: {{use: phantom}}
disprefer:
  - {{use: opposite-answer}}
  - {{use: self-rewarding, judge_tokens: 8, judgements: 1}}
unrated: keep
weigh: {{use: uniform}}
"""


def test_a_model_that_cannot_judge_makes_no_pair_and_the_run_counts_why(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path))
    done = run_recipe(load_recipe(tmp_path / "recipe.yaml"), lambda event: None)
    made_of = done.run.stage("disprefer")
    assert made_of.total("pairs", part="self-rewarding") == 0
    reason = "fewer than two of the samples have a score that can be read"
    assert made_of.total("cases_without_pair", part="self-rewarding", reason=reason) > 0
