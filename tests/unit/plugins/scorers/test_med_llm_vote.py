"""The scorer of text pairs: its consensus arithmetic, and its embedded voter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmedpo_plugins.scorers.med_llm_vote.agreement import measure_agreement
from mmedpo_plugins.scorers.med_llm_vote.consensus import (
    Vote,
    combine_votes,
    draw_order,
    has_agreement,
    last_vote,
    settle_debate,
)
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer, VoterPanel
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter
from pydantic import ValidationError

from mmedpo import Case, ImageRef, Pair, Score, Setting, Side

# ---------------------------------------------------------------- the consensus


def votes(*scores: int | None) -> list[Vote]:
    return [Vote(str(at), score) for at, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "voters", "agree"),
    [
        ((8,), 1, True),
        ((8, 8, 8), 3, True),
        ((8, 8), 3, False),  # the third has not spoken
        ((8, 6, 6), 3, False),
        ((8, 6, 6, 6), 3, True),  # the first came round in the second round
        ((8, 6, 8, 6), 2, False),
        ((8, None, 8), 3, True),  # who does not vote does not stand in the way
        ((None, None), 2, True),
    ],
)
def test_voters_agree_when_the_last_votes_of_all_are_one(scores: tuple[int | None], voters: int, agree: bool) -> None:
    assert has_agreement(votes(*scores), voters) == agree


def test_the_verdict_is_the_score_agreed_on_else_the_mean_of_all_that_was_said() -> None:
    assert settle_debate(votes(8, 6, 6, 6), 3) == 0.6
    assert settle_debate(votes(8, 6, 8, 6), 2) == pytest.approx(0.7)
    assert settle_debate(votes(10, None, 4), 3) == pytest.approx(0.7)
    assert settle_debate(votes(None, None), 2) is None


def test_the_next_voter_sees_the_newest_vote_there_is() -> None:
    assert last_vote([]) is None
    assert last_vote(votes(8, 6, None)) == Vote("1", 6)


@dataclass
class Scripted:
    """A voter that says what it is told to, and notes what it saw."""

    name: str
    scores: list[int | None]
    saw: list[int | None] = field(default_factory=list)

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        self.saw += [None if vote is None else vote.score for vote in seen]
        return [Vote(self.name, self.scores[len(self.saw) - len(pairs) + at]) for at in range(len(pairs))]


def panel(*voters: Scripted, **options: Any) -> VoterPanel:
    rules = tuple(RulesVoter(name=voter.name) for voter in voters)
    return VoterPanel(MedLlmVoteScorer(**{"voters": rules, "order": "fixed", **options}), voters)


def text_pair(question: str, chosen: str, rejected: str) -> Pair:
    case = Case("c", ImageRef(sha256="p"), question, chosen)
    return Pair(case, Side(case.image, chosen), Side(case.image, rejected), "text")


NODULE = text_pair("Is there a nodule?", "Yes", "No")


def test_a_debate_ends_when_all_agree() -> None:
    first, second = Scripted("a", [8, 5]), Scripted("b", [5])
    (score,) = panel(first, second).score([NODULE])
    assert score.relevance == 0.5
    assert (first.saw, second.saw) == ([None, 5], [8])
    assert [vote["score"] for vote in score.evidence["votes"]] == [8, 5, 5]
    assert (score.evidence["rounds"], score.evidence["agreed"]) == (2, True)


def test_a_debate_without_agreement_ends_at_the_round_limit_with_the_mean() -> None:
    (score,) = panel(Scripted("a", [8, 8]), Scripted("b", [5, 6]), rounds=2).score([NODULE])
    assert score.relevance == pytest.approx((8 + 5 + 8 + 6) / 40)
    assert (score.evidence["rounds"], score.evidence["agreed"]) == (2, False)


def test_pairs_that_are_settled_are_not_asked_about_again() -> None:
    first, second = Scripted("a", [8, 3, 4]), Scripted("b", [8, 4])
    scores = panel(first, second).score([NODULE, NODULE])
    assert [score.relevance for score in scores] == [0.8, 0.4]
    assert first.saw == [None, None, 4]


def test_independent_voters_see_nothing_and_speak_once() -> None:
    voters = [Scripted(name, [score]) for name, score in zip("abcde", (0, 5, 6, 7, 10), strict=True)]
    (score,) = panel(*voters, protocol="independent", combine="median").score([NODULE])
    assert score.relevance == 0.6
    assert all(voter.saw == [None] for voter in voters)


def test_independent_votes_are_combined_as_asked() -> None:
    cast = [Vote(name, score) for name, score in zip("abcde", (0, 5, 6, 8, 10), strict=True)]
    assert combine_votes(cast, "mean") == pytest.approx(0.58)
    assert combine_votes(cast, "trimmed-mean") == pytest.approx(19 / 30)
    assert combine_votes([Vote("a", None)], "median") is None


def test_fewer_voters_than_the_quorum_give_no_rating_and_say_so() -> None:
    missing = Scripted("b", [None] * 5)
    (score,) = panel(Scripted("a", [8] * 5), missing, quorum=2).score([NODULE])
    assert score.relevance is None
    assert score.evidence["why"] == "1 voters voted, the quorum is 2"
    assert [vote["score"] for vote in score.evidence["votes"]] == [8, None]


def test_the_order_is_drawn_for_each_pair_by_seed_alone() -> None:
    orders = {tuple(draw_order(3, seed)) for seed in range(50)}
    assert len(orders) == 6
    assert draw_order(3, 7) == draw_order(3, 7)
    assert draw_order(3, None) == [0, 1, 2]


def test_voters_who_speak_in_another_order_are_each_asked_for_all_their_pairs_at_once() -> None:
    pairs = [replace(NODULE, number=number) for number in range(12)]
    first, second = Scripted("a", [5] * 12), Scripted("b", [5] * 12)
    scores = panel(first, second, order="shuffled").score(pairs)
    speakers = [score.evidence["votes"][0]["voter"] for score in scores]
    assert {"a", "b"} == set(speakers)
    assert first.saw.count(None) == speakers.count("a")
    assert all(score.relevance == 0.5 for score in scores)


@given(st.lists(st.lists(st.none() | st.integers(0, 10), min_size=15, max_size=15), min_size=1, max_size=4))
def test_whatever_voters_say_the_relevance_lies_within_what_was_said(said: list[list[int | None]]) -> None:
    voters = [Scripted(f"v{number}", scores) for number, scores in enumerate(said)]
    (score,) = panel(*voters, rounds=5).score([NODULE])
    cast = [vote["score"] for vote in score.evidence["votes"] if vote["score"] is not None]
    assert len(score.evidence["votes"]) <= 5 * len(voters)
    if score.relevance is None:
        assert cast == []
    else:
        assert min(cast) / 10 <= score.relevance <= max(cast) / 10 + 1e-9


def test_voters_of_one_name_and_a_quorum_beyond_them_are_refused() -> None:
    with pytest.raises(ValidationError, match="two voters have one name"):
        MedLlmVoteScorer(voters=(RulesVoter(), RulesVoter()))
    with pytest.raises(ValidationError, match="quorum is 2"):
        MedLlmVoteScorer(quorum=2)


# ---------------------------------------------------------------- agreement


def cast(*scores: int | None) -> Score:
    given_ = [{"voter": name, "score": score, "reason": "why"} for name, score in zip("abcd", scores, strict=False)]
    return Score(0.5, {"votes": given_, "agreed": len(set(scores)) == 1})


def agreed_on(voters: str, *scores: Score) -> dict[str, Any]:
    return measure_agreement(voters, [replace(NODULE, number=at) for at in range(len(scores))], scores)


def test_alpha_is_that_of_krippendorffs_published_example() -> None:
    # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section E: interval alpha is .849, ordinal .815.
    units = [
        (1, 1, None, 1), (2, 2, 3, 2), (3, 3, 3, 3), (3, 3, 3, 3), (2, 2, 2, 2), (1, 2, 3, 4), (4, 4, 4, 4),
        (1, 1, 2, 1), (2, 2, 2, 2), (None, 5, 5, 5), (None, None, 1, 1), (None, None, 3, None),
    ]  # fmt: skip
    found = agreed_on("abcd", *[cast(*unit) for unit in units])
    assert found["alpha"]["first"] == pytest.approx(0.849, abs=5e-4)
    assert found["ordinal_alpha"]["first"] == pytest.approx(0.815, abs=5e-4)
    assert found["votes"] == {"a": 9, "b": 10, "c": 11, "d": 11}


def test_agreement_counts_who_was_missing_why_and_where_voters_are_far_apart() -> None:
    found = agreed_on("ab", cast(9, 9), cast(1, 8), cast(None, 3), cast(5, 6))
    assert found["missing"] == [{"voter": "a", "reason": "why", "count": 1}]
    assert found["apart"] == 1
    assert found["furthest_apart"] == [{"pair": replace(NODULE, number=1).id, "votes": {"b": 8, "a": 1}}]
    assert found["rank_correlation"] == [{"voters": ["a", "b"], "value": 0.5}]


def test_agreement_of_one_voter_or_of_equal_votes_is_not_defined() -> None:
    assert "alpha" not in agreed_on("a", cast(3), cast(4))
    assert agreed_on("ab", cast(3, 3), cast(3, 3))["alpha"] == {"first": None, "last": None}


# ---------------------------------------------------------------- the scorer


def scored(*pairs: Pair) -> list[Score]:
    with MedLlmVoteScorer().open(Setting()) as live:
        return live.score(pairs)


def test_the_embedded_voter_rates_and_says_why() -> None:
    (score,) = scored(NODULE)
    assert score.relevance == 0.9
    assert score.evidence == {
        "votes": [{"voter": "rules", "score": 9, "reason": "nodule: present / absent"}],
        "rounds": 1,
        "agreed": True,
    }


@pytest.mark.parametrize(
    ("question", "chosen", "rejected"),
    [
        ("图像中有结节吗?", "有", "没有"),
        ("What is the patient's mood?", "Cheerful", "It seems that the person is sad."),
        ("Was this taken with MRI?", "Yes", "No"),
        ("Is there a nodule?", "Yes", "I am not able to say."),
        ("Describe the findings.", "There is a nodule.", "右肺有结节"),
    ],
)
def test_what_it_cannot_read_it_does_not_rate(question: str, chosen: str, rejected: str) -> None:
    (score,) = scored(text_pair(question, chosen, rejected))
    assert score.relevance is None
    assert score.evidence["votes"][0]["score"] is None


def test_it_rates_text_pairs_only_and_wants_a_voter() -> None:
    assert MedLlmVoteScorer.rates == {"text"}
    assert MedLlmVoteScorer().voters == (RulesVoter(),)
    with pytest.raises(ValidationError):
        MedLlmVoteScorer(voters=())
